"""What the C library does with memory that was freed."""

import ctypes
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""

_MAPPED_FROM_BYTES = 2**25
"""The largest that glibc takes; activations of a step are smaller."""

_GIVEN_BACK_FROM_BYTES = 2**28


def keep_freed_memory() -> None:
    """Have memory that a step frees be there for the next; does nothing where that is not glibc.

    By default blocks from 128 KiB on are mapped from the system and given back every time, and
    their pages made and cleared anew: a prompt of 512 tokens of the demo took 1.25 times as long on
    a CPU.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _GIVEN_BACK_FROM_BYTES)


def give_back_freed_memory() -> None:
    """Give the system what was freed so far, as between layers that are loaded.

    What loading frees would stay with the process otherwise, and come on top of the largest tensor:
    200 MB of two layers of Qwen3-8B, 470 MB of two of gpt-oss.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """Return a function of glibc; ``None`` where the C library is another, such as musl."""
    if sys.platform == "linux":
        try:
            return getattr(ctypes.CDLL(None), name)
        except (OSError, AttributeError):
            return None
    else:
        return None
