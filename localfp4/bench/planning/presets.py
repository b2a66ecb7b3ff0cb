"""Whole benchmarks by name; what a command line says besides goes before what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from localfp4.bench.planning.sweeps import sweep_cases
from localfp4.bench.workload import Case


@dataclass(frozen=True, slots=True)
class Preset:
    """What is run, how often, and how it is told.

    Attributes:
        help: What it reproduces, for the list of presets.
        formats: Of the weights and activations, a series each.
        cases: Each once.
        repeats: Measured runs of each.
        warmup: Runs of each before them that are thrown away.
        report: ``md`` or ``adallm``.
    """

    help: str
    formats: tuple[str, ...]
    cases: tuple[Case, ...]
    repeats: int
    warmup: int
    report: str = "md"


def _swept(base: Case, *sweeps: str) -> tuple[Case, ...]:
    """Return the cases of several sweeps; where they cross, one is enough."""
    return tuple(dict.fromkeys(case for sweep in sweeps for case in sweep_cases(sweep, base)))


_PRECISIONS = ("bf16", "w4a16", "w4a8", "w4a4")

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "study": Preset(
            "TTFT, TPOT and throughput over batch sizes to 64 at 1,024 tokens of input, and over "
            "input lengths to 8,192 at batch 16, as in published comparisons of NVFP4",
            _PRECISIONS,
            _swept(Case(1, 1024, 128), "batch=1..64*2@p=1024", "input=128..8192*2@b=16"),
            repeats=5,
            warmup=2,
        ),
        # Its authors publish batch, tokens, seconds, tokens/s and peak GB of answers of 128 tokens,
        # whose prompts they do not tell; a short one leaves the time to the answer. Their products
        # are of 16-bit activations unless NVFP4_FP8=1 is set.
        "adallm": Preset(
            "the table of AdaLLM: tokens, seconds, tokens/s and peak GB of batches to 16",
            ("w4a16",),
            _swept(Case(1, 32, 128), "batch=1..16*2"),
            repeats=3,
            warmup=1,
            report="adallm",
        ),
        "quick": Preset(
            "both sweeps of the study, small enough for a CPU and the demo: some minutes",
            _PRECISIONS,
            _swept(Case(1, 128, 32), "batch=1..16*2", "input=64..512*2@b=4"),
            repeats=3,
            warmup=1,
        ),
    }
)
