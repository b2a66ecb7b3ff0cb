"""Notices that other programs take the memory a model needs, and that it is slower for it.

Pure: it is fed with what is seen, and asked for the alarm.
"""

from collections import deque
from math import log2
from statistics import fmean, median

from localfp4.reports import Gauges
from localfp4_tui.formatting import format_gib, format_rate
from localfp4_tui.track import Sample

GROWN_BYTES = 256 * 2**20
"""What other programs must have taken since the model was loaded to be named as the cause."""

NEARLY_GONE = 0.02
"""Share of the memory; with less than that free, a driver begins to move pages away."""

SCARCE = 0.1
"""Share of the main memory; with more than that free nothing is swapped out, whoever took some."""

SLOW = 0.7
RECOVERED = 0.9
"""Shares of the normal speed at which an alarm is raised, and called off."""

_SETTLED_S = 1.5
"""Decoding younger than that is not judged: the engine's figure is a mean over the last second."""

_RECENT = 6
_LEARNT = 60


class SpillWatch:
    """Watches one loaded model.

    A token costs the reading of all weights and of the keys and values of its context, a time of
    ``a + b · context``. From a context to a longer one it therefore grows by their quotient at
    most: what was normal at one context tells the least that is normal at another, and a speed
    below that has another cause than the length of the conversation.

    Attributes:
        alarm: What is wrong and what to do, in a sentence; ``None`` while nothing is.
    """

    def __init__(self) -> None:
        self.alarm: str | None = None
        self._at_load: Gauges | None = None
        self._normal: dict[int, deque[tuple[int, float]]] = {}
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._decodes_since_s: float | None = None

    def add(self, sample: Sample) -> None:
        """Take what is seen now; the first gauges are what the model held when it was loaded."""
        gauges = sample.gauges
        if gauges is None:
            self.alarm = None
            return
        if self._at_load is None:
            self._at_load = gauges
        is_tight = self._is_tight(gauges, self._at_load)
        if not is_tight:
            self.alarm = None
        if not self._is_settled(sample):
            return
        self._recent.append(sample.tokens_per_s)
        normal, pace = self._least_normal(sample.context_tokens), median(self._recent)
        if not is_tight or (normal is not None and pace >= RECOVERED * normal):
            self._learn(sample)
        if normal is None or not is_tight or len(self._recent) < _RECENT:
            return
        if pace >= RECOVERED * normal:
            self.alarm = None
        elif self.alarm is None and pace < SLOW * normal:
            self.alarm = _sentence(gauges, self._at_load, normal, pace)

    def _is_settled(self, sample: Sample) -> bool:
        """Whether an answer has been written for long enough for its speed to count."""
        if sample.tokens_per_s <= 0:
            self._decodes_since_s = None
            self._recent.clear()
            return False
        if self._decodes_since_s is None:
            self._decodes_since_s = sample.at_s
        return sample.at_s - self._decodes_since_s >= _SETTLED_S

    def _is_tight(self, gauges: Gauges, at_load: Gauges) -> bool:
        if gauges.memory_label == "RAM" and _free(gauges) > SCARCE * gauges.total_bytes:
            return False
        if _grown(gauges, at_load) >= GROWN_BYTES:
            return True
        least = NEARLY_GONE * gauges.total_bytes
        return _free(gauges) < least <= _free(at_load)

    def _learn(self, sample: Sample) -> None:
        place = int(2 * log2(max(sample.context_tokens, 64)))
        kept = self._normal.setdefault(place, deque(maxlen=_LEARNT))
        kept.append((sample.context_tokens, sample.tokens_per_s))

    def _least_normal(self, context_tokens: int) -> float | None:
        """The least speed at a context that what was seen at all others allows."""
        least = [
            median(speed for _, speed in kept)
            * min(1.0, fmean(context for context, _ in kept) / max(context_tokens, 1))
            for kept in self._normal.values()
            if len(kept) >= _RECENT
        ]
        return max(least, default=None)


def _grown(gauges: Gauges, at_load: Gauges) -> int:
    """What other programs have taken since the model was loaded."""
    if gauges.engine_bytes is None or at_load.engine_bytes is None:
        return gauges.used_bytes - at_load.used_bytes
    return gauges.other_bytes - at_load.other_bytes


def _free(gauges: Gauges) -> int:
    return gauges.total_bytes - gauges.used_bytes


def _sentence(gauges: Gauges, at_load: Gauges, normal: float, pace: float) -> str:
    grown, label = _grown(gauges, at_load), gauges.memory_label
    cause = f"Only {format_gib(max(_free(gauges), 0))} GiB of {label} is left"
    cure = "close other programs"
    if grown >= GROWN_BYTES:
        cause = f"Other programs took {format_gib(grown)} GiB of {label} since the model was loaded"
        cure = "close them"
    fall = f"decoding fell from {format_rate(normal)} to {format_rate(pace)}"
    return f"{cause}, and {fall}: {cure}, or use /fit to find a shorter context."
