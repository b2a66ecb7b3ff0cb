"""Mixed precision: how much each linear matters, and which format it gets under a size."""
