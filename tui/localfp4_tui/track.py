"""What was seen of the engine and its device over the last minutes; no widgets, no clock."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean, median

from localfp4.reports import Gauges

TRACKED_S = 300.0
"""How far back the plots can reach."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the engine and its device.

    Attributes:
        at_s: When, on a monotonic clock.
        tokens_per_s: Of the answer being written; 0 while there is none.
        context_tokens: Length of the conversation.
        gauges: The device, where it can be read.
    """

    at_s: float
    tokens_per_s: float
    context_tokens: int
    gauges: Gauges | None


class Track:
    """Samples of the last minutes, the oldest first."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def add(self, sample: Sample) -> None:
        """Take a sample that is newer than all others."""
        self._samples.append(sample)
        while sample.at_s - self._samples[0].at_s > TRACKED_S:
            self._samples.popleft()

    def speeds(self, count: int) -> list[float]:
        """Return the speeds of the last seconds in which an answer was written, a mean each."""
        by_second: dict[int, list[float]] = {}
        for sample in reversed(self._samples):
            if sample.tokens_per_s > 0:
                by_second.setdefault(int(sample.at_s), []).append(sample.tokens_per_s)
                if len(by_second) > count:
                    break
        return [fmean(speeds) for speeds in list(by_second.values())[:count]][::-1]

    def median_speed(self) -> float:
        """Return the median speed while answers were written; 0 where there was none."""
        speeds = [sample.tokens_per_s for sample in self._samples if sample.tokens_per_s > 0]
        return median(speeds) if speeds else 0.0

    def series(
        self, value: Callable[[Sample], float | None], *, span_s: float, points: int
    ) -> list[float | None]:
        """Return a figure over the last seconds, in so many equal steps, a mean each.

        Args:
            value: Reads the figure off a sample; ``None`` where there is none.
            span_s: How far back.
            points: Number of steps; those without a figure are ``None``.
        """
        steps: list[list[float]] = [[] for _ in range(points)]
        if not self._samples or not points:
            return [None] * points
        step_s = span_s / points
        last = int(self._samples[-1].at_s / step_s)  # steps stand still while time goes on
        for sample in reversed(self._samples):
            at = points - 1 - (last - int(sample.at_s / step_s))
            if at < 0:
                break
            if (figure := value(sample)) is not None:
                steps[at].append(figure)
        return [fmean(figures) if figures else None for figures in steps]
