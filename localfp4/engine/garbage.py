"""Keeping Python's cyclic garbage collector out of the way while a program starts; stdlib only."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Collect nothing meanwhile, and never look again at what was made.

    Importing torch and loading a model make hundreds of thousands of objects that live as long as
    the process; looking through them again and again took 0.4 s of a start of 3 s.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
