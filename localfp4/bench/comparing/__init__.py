"""Two runs side by side; arithmetic only."""
