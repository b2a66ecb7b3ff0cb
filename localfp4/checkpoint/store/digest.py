"""The hash that the hub names a file by; stdlib only.

Files in large-file storage are named by the SHA-256 of their content, the others as git names its
blobs: by the SHA-1 of ``blob <size>``, a zero byte and the content (git-hash-object(1)).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK_BYTES = 2**20
"""Read at once while a file is hashed."""

_SHA256 = re.compile("[0-9a-f]{64}")
_GIT_SHA1 = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash of a file's content.

    Attributes:
        hexadecimal: 64 digits of SHA-256, or 40 of git's SHA-1.
    """

    hexadecimal: str

    @property
    def is_sha256(self) -> bool:
        """Whether it is the hash of large-file storage."""
        return _SHA256.fullmatch(self.hexadecimal) is not None

    @property
    def is_known(self) -> bool:
        """Whether it is one of the two; a mirror may name files as it likes."""
        return self.is_sha256 or _GIT_SHA1.fullmatch(self.hexadecimal) is not None

    def started(self, size_bytes: int) -> "_Hash":
        """Return a hash object for a content of this size, that has seen none of it."""
        if self.is_sha256:
            return hashlib.sha256()
        return hashlib.sha1(f"blob {size_bytes}\0".encode("ascii"), usedforsecurity=False)
