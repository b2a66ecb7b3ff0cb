"""What the memory of a device holds, part by part; no widgets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from localfp4.messages import ModelInfo
from localfp4.reports import Gauges


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """A part of the memory.

    Attributes:
        name: What takes it.
        nbytes: How much.
        glyph: What a bar shows it with: parts can be told apart without colours.
        style: Its colour.
    """

    name: str
    nbytes: int
    glyph: str
    style: str


def memory_split(gauges: Gauges, info: ModelInfo | None) -> list[MemoryPart]:
    """Split the memory of a device; the parts add up to all of it.

    Args:
        gauges: The device.
        info: What is loaded; ``None`` while it loads, when the engine's memory is one part.
    """
    total, engine = gauges.total_bytes, gauges.engine_bytes
    used = min(gauges.used_bytes, total)
    if engine is None:
        return [MemoryPart("used", used, "█", "$primary"), _free(total - used)]
    engine = min(engine, total)
    other = max(used - engine, 0)
    return [
        *_engine_parts(engine, info, on_card=gauges.memory_label == "VRAM"),
        MemoryPart("other", other, "░", "$text-warning"),
        _free(total - engine - other),
    ]


def cells(parts: Sequence[MemoryPart], width: int) -> list[int]:
    """Divide a bar of ``width`` cells among parts, in proportion and without a rest."""
    total = sum(part.nbytes for part in parts)
    ends, so_far = [0], 0
    for part in parts:
        so_far += part.nbytes
        ends.append(round(so_far / total * width) if total else 0)
    return [end - start for start, end in pairwise(ends)]


def _engine_parts(engine: int, info: ModelInfo | None, *, on_card: bool) -> list[MemoryPart]:
    if info is None:
        return [MemoryPart("engine", engine, "█", "$primary")]
    if not on_card:
        # Of a cache in main memory only what was written to takes any, which nobody counts.
        weights = min(info.weight_bytes, engine)
        return [
            MemoryPart("weights", weights, "█", "$primary"),
            MemoryPart("engine", engine - weights, "▓", "$accent"),
        ]
    cache = min(info.kv_cache_bytes, engine)
    weights = min(info.weight_bytes, engine - cache)
    return [
        MemoryPart("weights", weights, "█", "$primary"),
        MemoryPart("KV", cache, "▓", "$accent"),
        MemoryPart("work", engine - cache - weights, "▒", "$text-success"),
    ]


def _free(nbytes: int) -> MemoryPart:
    return MemoryPart("free", nbytes, "·", "$foreground 50%")
