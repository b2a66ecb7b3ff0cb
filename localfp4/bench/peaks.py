"""What a device reached at best; arithmetic only, no tensors."""

from dataclasses import asdict, dataclass
from typing import Literal

Bound = Literal["memory", "cache", "compute"]
"""What a limit follows from: the bandwidth of the memory, that of a processor's caches where what is
moved fits into them, or the rate of products."""

_KINDS = ("float32", "bfloat16", "fp8", "fp4")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device reached at best in the same run.

    Attributes:
        copy_gb_per_s: Of a copy within its memory; every byte counts as read and as written.
        float32_tflops: Of a square product, on a CPU, and on a GPU that was used in this type.
        bfloat16_tflops: The same in bfloat16: on a GPU, and on a CPU that was used in this type or
            is faster in it. float16 has the same rate.
        fp8_tflops: The same in E4M3, on GPUs that have it.
        fp4_tflops: The same in NVFP4, on GPUs that have it.
        read_gb_per_s: Of a sum over its memory. It can be faster than a copy, since a CPU first
            reads what it writes over.
        cached_gb_per_s: Of sums over and over again of what fits into a CPU's caches, in the
            fastest size.
        cached_bytes: The least that was found not to fit into them.
    """

    copy_gb_per_s: float
    float32_tflops: float | None = None
    bfloat16_tflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    read_gb_per_s: float | None = None
    cached_gb_per_s: float | None = None
    cached_bytes: int | None = None

    def best(self, other: "Limits") -> "Limits":
        """Return the better of two measurements, limit by limit."""
        others = asdict(other)
        return Limits(
            **{
                name: max(peak, others[name]) if peak and others[name] else peak or others[name]
                for name, peak in asdict(self).items()
            }
        )

    def tflops(self, products: str) -> float | None:
        """Return the peak of a kind of products: ``float32``, ``bfloat16``, ``fp8`` or ``fp4``."""
        peak: float | None = getattr(self, f"{products}_tflops")
        return peak

    def least_s(
        self, moved_bytes: float, flops: float, products: str
    ) -> tuple[float, Bound] | None:
        """Return how long work takes at least, and why: its bytes or its operations take that long.

        This is the roofline model (Williams, Waterman & Patterson 2009), with a roof of its own for
        what stays in caches (Ilic, Pratas & Sousa 2014).

        Args:
            moved_bytes: What is read or written; no more than once where it fits into caches.
            flops: Floating-point operations.
            products: What kind of products they are, as in :meth:`tflops`.

        Returns:
            Seconds and what they follow from; ``None`` where the peak is not known.
        """
        peak = self.tflops(products)
        if peak is None:
            return None
        memory: tuple[float, Bound] = self._moving_s(moved_bytes)
        return max(memory, (flops / peak / 1e12, "compute"))

    def _moving_s(self, moved_bytes: float) -> tuple[float, Bound]:
        if self.cached_gb_per_s and self.cached_bytes and moved_bytes < self.cached_bytes:
            return moved_bytes / self.cached_gb_per_s / 1e9, "cache"
        fastest = max(self.copy_gb_per_s, self.read_gb_per_s or 0.0)
        return moved_bytes / fastest / 1e9, "memory"

    def in_words(self) -> str:
        """Return a line for a heading, such as ``copy 19.2 GB/s, float32 products 0.2 TFLOPS``."""
        parts = [f"copy {_three_digits(self.copy_gb_per_s)} GB/s"]
        if self.read_gb_per_s:
            parts.append(f"read {_three_digits(self.read_gb_per_s)} GB/s")
        if self.cached_gb_per_s and self.cached_bytes:
            size = f"less than {self.cached_bytes / 2**20:.0f} MiB"
            parts.append(f"{_three_digits(self.cached_gb_per_s)} GB/s in caches ({size})")
        known = [(kind, peak) for kind in _KINDS if (peak := self.tflops(kind))]
        parts += [f"{kind} products {_three_digits(peak)} TFLOPS" for kind, peak in known]
        return ", ".join(parts)


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
