"""What a front end is told of models, memory and devices besides events; stdlib only."""

from dataclasses import dataclass
from typing import Literal

from localfp4.messages import Event, LoadProgress, ModelInfo

MemoryLabel = Literal["VRAM", "RAM"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be loaded; ``None`` leaves a setting as the program was started with.

    Attributes:
        model: As the user names it.
        precision: Width of weights and activations, such as ``w4a16``.
        context: Longest context in tokens.
    """

    model: str
    precision: str | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be chosen, as far as it is known without opening its files.

    Attributes:
        name: What to load, and what to call it.
        alias: A shorter name for it, or empty.
        is_local: Whether it is complete on this computer.
        size_bytes: Of its files, or ``None`` where unknown.
        present_bytes: How much of a download that was begun is here.
        server: Where another program serves it; empty for those that are run here.
    """

    name: str
    alias: str = ""
    is_local: bool = True
    size_bytes: int | None = None
    present_bytes: int = 0
    server: str = ""

    def is_named(self, name: str) -> bool:
        """Say whether this is what a user means by a name."""
        return name == self.name or (bool(self.alias) and name.lower() == self.alias.lower())


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the headers of a model's files tell.

    Attributes:
        family: ``model_type`` of the checkpoint.
        weight_format: Such as ``NVFP4 W4A16``.
        parameters: Number of parameters.
        context_tokens: Longest context that it was made for.
    """

    family: str
    weight_format: str
    parameters: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class FitRow:
    """A part of the memory: what takes it, its bytes, and a remark."""

    what: str
    size_bytes: int
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits this computer now, and how.

    Memory that the loaded model would give back counts as free.

    Attributes:
        fits: Whether it can be loaded.
        reason: Why not, with what would help; empty where it fits.
        device: Name of what it would run on.
        free_bytes: Memory of the device that could be used.
        total_bytes: Memory of the device.
        rows: What would take it; empty where it does not fit.
        context_tokens: Longest context there would be.
        model_context_tokens: Longest context that the model was made for.
        is_whole: Whether all weights would lie in the device's memory.
        expected_tokens_per_s: An estimate for one conversation, or ``None``.
        limit_tokens_per_s: What the bandwidth allows, or ``None``.
        advice: What would help, a sentence each.
    """

    fits: bool
    reason: str
    device: str
    free_bytes: int
    total_bytes: int
    rows: tuple[FitRow, ...] = ()
    context_tokens: int = 0
    model_context_tokens: int = 0
    is_whole: bool = True
    expected_tokens_per_s: float | None = None
    limit_tokens_per_s: float | None = None
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauges:
    """The device at a moment; what it does not tell is ``None``.

    Attributes:
        memory_label: Which memory the weights lie in.
        total_bytes: All of it.
        used_bytes: In use by all programs.
        engine_bytes: In use by the engine.
        temperature_c: Degrees Celsius.
        power_w: Watts drawn.
        energy_j: Joules drawn since some moment in the past; differences count.
        busy: Share of the last moment in which the device worked, 0 to 1.
        slowed_by: What keeps its clocks down, such as ``heat``; empty where nothing does.
    """

    memory_label: MemoryLabel
    total_bytes: int
    used_bytes: int
    engine_bytes: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    busy: float | None = None
    slowed_by: tuple[str, ...] | None = None

    @property
    def other_bytes(self) -> int:
        """In use by other programs; 0 where the engine's part is not known."""
        return 0 if self.engine_bytes is None else max(self.used_bytes - self.engine_bytes, 0)


@dataclass(frozen=True, slots=True)
class Compared:
    """News of one side of a comparison.

    Attributes:
        side: Which of the choices it is about, from 0.
            How far what was loaded before is back has the number of choices here.
        news: How far its model is loaded, what was loaded, or a piece of its answer.
    """

    side: int
    news: LoadProgress | ModelInfo | Event
