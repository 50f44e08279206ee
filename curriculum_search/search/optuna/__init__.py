"""What to try next: the space, Optuna, and what its trials tell."""
