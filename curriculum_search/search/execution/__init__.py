"""Where runs are trained: the Ray cluster, and what runs on it."""
