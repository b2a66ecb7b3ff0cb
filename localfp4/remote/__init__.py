"""Servers that speak OpenAI's API, asked over HTTP; stdlib only.

Knows addresses, keys, JSON, streams and what servers say of themselves; not what is asked of them.
"""
