"""The phases of a study: the search nominates, the confirmation decides, the ablation explains."""
