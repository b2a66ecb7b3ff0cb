"""Answers of a form that was asked for: JSON of a schema, calls of tools, grammars."""
