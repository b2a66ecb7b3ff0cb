"""What all routes share: who may ask, how much, and how answers travel."""
