"""What the device reaches at best and draws meanwhile, and what the work takes at least."""
