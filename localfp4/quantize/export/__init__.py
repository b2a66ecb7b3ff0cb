"""Writing what was rounded as checkpoints that other programs load, too.

Knows layouts, configs and files; knows nothing of how codes were chosen.
"""
