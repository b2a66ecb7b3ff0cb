"""Contestants in this process; torch-free until one is loaded."""

from importlib import import_module

from localfp4.bench.engines.contestant import Entrant, Loading


def load_here(entrant: Entrant) -> Loading:
    """Load an entrant into this process."""
    module, _, function = entrant.loader.partition(":")
    loading: Loading = getattr(import_module(module), function)(**entrant.settings)
    return loading
