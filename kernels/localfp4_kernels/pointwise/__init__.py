"""Operators on rows: norms, rotary embedding, gates, embedding."""
