"""The commands beside the search: train one run, evaluate it, measure difficulty, encode images."""
