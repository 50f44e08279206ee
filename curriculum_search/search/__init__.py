"""The search: study files, Optuna, trials on Ray, confirmation and what comes of it."""
