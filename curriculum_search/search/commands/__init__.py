"""The commands beside the search: one run, its evaluation, measured difficulty."""
