"""A run as one picture that needs nothing else; arithmetic and text only."""
