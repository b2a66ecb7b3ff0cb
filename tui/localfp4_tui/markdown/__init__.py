"""Markdown as lines of a terminal: parsed as it grows, laid out for a width; no widgets."""
