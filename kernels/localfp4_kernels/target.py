"""What a GPU can do, as far as the choice of a kernel depends on it; knows nothing of torch."""

from dataclasses import dataclass

CAPABILITIES = (80, 86, 89, 90, 100, 120, 121)
"""Compute capabilities the kernels are written for, times ten: 89 is Ada, 120 is the RTX 50."""

_SHARED_BYTES = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448}


@dataclass(frozen=True, slots=True)
class Target:
    """A device that kernels are chosen and compiled for.

    Attributes:
        capability: Compute capability times ten.
        multiprocessors: Streaming multiprocessors, which decide how far work is split.
        interpreted: Whether Triton's interpreter runs the kernels on a CPU; then inline PTX and
            8-bit casts of the hardware are replaced by integer arithmetic.
    """

    capability: int
    multiprocessors: int
    interpreted: bool = False

    @property
    def has_fp8(self) -> bool:
        """Whether tensor cores and conversions for E4M3 exist (Ada and later)."""
        return self.capability >= 89 and not self.interpreted

    @property
    def has_fp4(self) -> bool:
        """Whether conversions from and to E2M1 exist (Blackwell)."""
        return self.capability >= 100 and not self.interpreted

    @property
    def shared_bytes(self) -> int:
        """Shared memory one program may use; 99 KiB on every GeForce card since Ampere."""
        return _SHARED_BYTES.get(self.capability, 101_376)

    @property
    def code_route(self) -> str:
        """How E2M1 codes become 16-bit numbers; see :mod:`localfp4_kernels.formats.decode`."""
        if self.interpreted:
            return "bits"
        if self.has_fp4:
            return "e2m1"
        return "e4m3" if self.has_fp8 else "shift"

    def __str__(self) -> str:
        """Return ``sm_89``, or ``sm_89 (interpreted)``."""
        return f"sm_{self.capability}" + (" (interpreted)" if self.interpreted else "")
