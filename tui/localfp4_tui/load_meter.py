"""Speed and time left of a load, from its progress reports; no clock and no widgets of its own."""

from dataclasses import dataclass, field
from functools import partial

from localfp4.messages import LoadProgress
from localfp4_tui.formatting import format_bytes, format_seconds

MIN_ELAPSED_S = 0.2
"""Rates over shorter spans jump too much to be read."""


@dataclass
class LoadMeter:
    """Follows one load; every stage is timed from its own first report."""

    progress: LoadProgress = field(default_factory=partial(LoadProgress, "starting the engine"))
    _stage_began_s: float = 0.0
    _stage_first_bytes: int = 0
    _now_s: float = 0.0

    def add(self, progress: LoadProgress, now_s: float) -> None:
        """Take a report that arrived at ``now_s`` on any monotonic clock."""
        if progress.stage != self.progress.stage or not self._stage_began_s:
            self._stage_began_s = now_s
            self._stage_first_bytes = progress.done_bytes
        self.progress = progress
        self._now_s = now_s

    @property
    def share(self) -> float | None:
        """How much of the stage is done, 0 to 1, or ``None`` where it is not counted in bytes."""
        total = self.progress.total_bytes
        return min(self.progress.done_bytes / total, 1.0) if total > 0 else None

    @property
    def bytes_per_s(self) -> float | None:
        """Mean speed of the stage, or ``None`` while it is too young to say."""
        elapsed_s = self._now_s - self._stage_began_s
        moved = self.progress.done_bytes - self._stage_first_bytes
        return moved / elapsed_s if moved > 0 and elapsed_s >= MIN_ELAPSED_S else None

    @property
    def remaining_s(self) -> float | None:
        """Seconds left of the stage at its mean speed, or ``None`` if unknown or nothing is left."""
        speed = self.bytes_per_s
        left = self.progress.total_bytes - self.progress.done_bytes
        return left / speed if speed and left > 0 else None

    def figures(self) -> list[str]:
        """Return what is known in words: share, bytes, speed and time left."""
        words: list[str] = []
        if self.share is not None:
            done, total = self.progress.done_bytes, self.progress.total_bytes
            words += [f"{self.share:.0%}", f"{format_bytes(done)} of {format_bytes(total)}"]
        if self.bytes_per_s is not None:
            words.append(f"{format_bytes(self.bytes_per_s)}/s")
        if self.remaining_s is not None:
            words.append(f"{format_seconds(self.remaining_s)} left")
        return words
