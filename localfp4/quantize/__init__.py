"""Making 4-bit checkpoints on the user's own PC, one decoder layer at a time.

Calibration text runs through the layers in the compute type; what each linear's inputs look like
decides how its weights are rounded; the rounded layer computes the inputs of the next.
"""
