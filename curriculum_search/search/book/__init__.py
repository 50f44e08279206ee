"""What is kept of runs, and what they cost."""
