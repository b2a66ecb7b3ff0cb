"""How far from the machine's own limits a measurement is; arithmetic only, no tensors.

A decode step of few sequences can be no faster than its bytes can be read (the roofline model of
Williams, Waterman & Patterson 2009).
"""

from dataclasses import asdict, dataclass

from localfp4.bench.measure import Figures
from localfp4.bench.workload import Case
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import decode_bytes
from localfp4.models.weight_sizes import WeightSizes


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device reached at best in the same run.

    Attributes:
        copy_gb_per_s: Of a copy within its memory; every byte counts as read and as written.
        float32_tflops: Of a square product, on a CPU.
        bfloat16_tflops: The same on a GPU.
        fp8_tflops: The same in E4M3, on GPUs that have it.
    """

    copy_gb_per_s: float
    float32_tflops: float | None = None
    bfloat16_tflops: float | None = None
    fp8_tflops: float | None = None

    def best(self, other: "Limits") -> "Limits":
        """Return the better of two measurements, limit by limit."""
        others = asdict(other)
        return Limits(
            **{
                name: max(peak, others[name]) if peak and others[name] else peak
                for name, peak in asdict(self).items()
            }
        )

    def in_words(self) -> str:
        """Return a line for a heading, such as ``copy 19.2 GB/s, float32 products 0.2 TFLOPS``."""
        products = (
            ("float32", self.float32_tflops),
            ("bfloat16", self.bfloat16_tflops),
            ("fp8", self.fp8_tflops),
        )
        known = [f"{name} products {_three_digits(peak)} TFLOPS" for name, peak in products if peak]
        return ", ".join([f"copy {_three_digits(self.copy_gb_per_s)} GB/s", *known])


@dataclass(frozen=True, slots=True)
class Roofline:
    """The limit of decoding with one model on one device.

    Attributes:
        limits: Of the device.
        spec: The model.
        sizes: Its weights as they lie in memory.
        kv_dtype: Type of the KV cache.
    """

    limits: Limits
    spec: DecoderSpec
    sizes: WeightSizes
    kv_dtype: str

    def decode_bytes(self, case: Case) -> int:
        """Return what a decode step has to move, on average over the answers of a case."""
        context = case.input_tokens + case.output_tokens // 2
        return decode_bytes(self.spec, self.sizes, self.kv_dtype, context, case.batch)

    def percent_of_limit(self, case: Case, figures: Figures) -> float | None:
        """Return the share of the limit's speed that was reached; ``None`` where none decoded."""
        if figures.tpot_ms is None:
            return None
        least_ms = self.decode_bytes(case) / self.limits.copy_gb_per_s / 1e6
        return 100 * least_ms / figures.tpot_ms


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
