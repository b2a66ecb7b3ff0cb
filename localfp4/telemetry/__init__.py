"""Facts about the machine: memory, cores, names and versions.

Nothing here knows of models, engines or screens, and nothing imports torch at module level.
"""
