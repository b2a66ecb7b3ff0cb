"""``localfp4 serve``, ``ps`` and ``stop``."""
