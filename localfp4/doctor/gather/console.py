"""The mode of Windows' console in which terminals can answer, through ctypes.

Functions take the loaded library, so that what they do is tested elsewhere.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STD_INPUT_HANDLE = -10
_STD_OUTPUT_HANDLE = -11
_ENABLE_LINE_INPUT = 0x0002
_ENABLE_ECHO_INPUT = 0x0004
_ENABLE_VIRTUAL_TERMINAL_INPUT = 0x0200
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 0x0004


def kernel32() -> Any:
    """Load kernel32.

    Raises:
        OSError: This is not Windows.
    """
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernel32", use_last_error=True)
        library.GetStdHandle.restype = ctypes.c_void_p
        return library
    else:
        raise OSError("kernel32 exists on Windows only")


@contextmanager
def answering_console(library: Any) -> Iterator[None]:
    """Let the console take a question and hand over its answer; its modes come back after that.

    Raises:
        OSError: Standard input or output is no console, or an old one, which would show the question.
    """
    with (
        _in_mode(library, _STD_OUTPUT_HANDLE, add=_ENABLE_VIRTUAL_TERMINAL_PROCESSING),
        _in_mode(
            library,
            _STD_INPUT_HANDLE,
            add=_ENABLE_VIRTUAL_TERMINAL_INPUT,
            remove=_ENABLE_LINE_INPUT | _ENABLE_ECHO_INPUT,
        ) as handle,
    ):
        try:
            yield
        finally:
            library.FlushConsoleInputBuffer(handle)


@contextmanager
def _in_mode(library: Any, which: int, *, add: int, remove: int = 0) -> Iterator[ctypes.c_void_p]:
    handle = ctypes.c_void_p(library.GetStdHandle(ctypes.c_uint32(which & 0xFFFFFFFF)))
    mode = ctypes.c_uint32()
    if not library.GetConsoleMode(handle, ctypes.byref(mode)):
        raise OSError("this is no console")
    try:
        if not library.SetConsoleMode(handle, ctypes.c_uint32(mode.value & ~remove | add)):
            raise OSError("this console knows no sequences of terminals")
        yield handle
    finally:
        library.SetConsoleMode(handle, mode)
