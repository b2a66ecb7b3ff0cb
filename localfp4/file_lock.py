"""A file that one process at a time writes; the system lets go of it however that process ends."""

import errno
import sys

_BEYOND = 2**40
"""Windows locks bytes against everybody's reading, so that one is taken which no file has."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; ``False`` where another process has it.

    Where the file system knows no locks, as some of networks do not, there is none.
    """
    try:
        if sys.platform == "win32":
            import msvcrt
            import os

            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True
