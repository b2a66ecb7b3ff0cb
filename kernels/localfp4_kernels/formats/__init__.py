"""Number formats: how 4- and 8-bit values are packed, scaled and rounded."""
