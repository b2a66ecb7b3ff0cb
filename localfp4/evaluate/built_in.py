"""The text that comes with the program to evaluate models on; none of it is calibrated with."""

from pathlib import Path

BUILT_IN = Path(__file__).with_name("builtin.txt")
"""Conversations, prose, tables, documentation and code."""
