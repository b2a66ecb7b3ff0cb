"""Checkpoints that are quantised while they are loaded: 16-bit weights, rounded to nearest.

Headers are those that an exporter of the format would write; the reader makes the tensors from the
16-bit ones when they are asked for. Everything behind it sees a quantised checkpoint.
"""
