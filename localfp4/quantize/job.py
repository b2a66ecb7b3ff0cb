"""What is quantised, and what came of it; torch-free."""

from dataclasses import dataclass
from pathlib import Path

from localfp4.quantize.export.figures import KindFigures
from localfp4.quantize.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """A model, a recipe and a place.

    Attributes:
        model: What the user called it.
        source: Where it is.
        recipe: How it is quantised.
        out: The folder to make.
        device: A torch device; ``None`` takes the best GPU, else the CPU.
        threads: CPU threads; ``None`` takes every core.
        device_bytes: Most memory of a GPU to use; ``None`` takes what is free.
    """

    model: str
    source: Path
    recipe: Recipe
    out: Path
    device: str | None = None
    threads: int | None = None
    device_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A quantised model.

    Attributes:
        out: Its folder.
        bytes_before: Size of the original's tensors.
        bytes_after: Size of the new ones.
        duration_s: How long this run took; one that went on with another's work took less.
        planned_bytes: What was planned for the device.
        peak_bytes: The most that was held there; on a CPU by the whole process.
        kinds: How linears of each kind turned out.
        error_meaning: What their errors are, in a sentence.
        notes: Sentences that a user should read.
    """

    out: Path
    bytes_before: int
    bytes_after: int
    duration_s: float
    planned_bytes: int
    peak_bytes: int
    kinds: tuple[KindFigures, ...]
    error_meaning: str
    notes: tuple[str, ...]
