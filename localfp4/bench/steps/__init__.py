"""Where the time of a single step goes."""
