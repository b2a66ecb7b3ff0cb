"""When a device was busy, from the times of what ran on it; arithmetic only."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.bench.steps.profile_result import Operator


@dataclass(frozen=True, slots=True)
class Span:
    """Something that ran on a device, in microseconds of one clock."""

    name: str
    start_us: float
    end_us: float


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """What a device did in a step.

    Attributes:
        busy_us: Microseconds in which something ran.
        idle_us: Microseconds between the first and the last of all steps in which nothing did.
        operators: What ran, by the time it took.
    """

    busy_us: float
    idle_us: float
    operators: tuple[Operator, ...]


def device_time(spans: Sequence[Span], steps: int) -> DeviceTime:
    """Work out what a device did in some steps, which follow each other closely."""
    if not spans:
        return DeviceTime(0.0, 0.0, ())
    busy, covered_until = 0.0, min(span.start_us for span in spans)
    first = covered_until
    for span in sorted(spans, key=lambda span: span.start_us):
        # Spans of several streams overlap; what they share counts once.
        busy += max(0.0, span.end_us - max(span.start_us, covered_until))
        covered_until = max(covered_until, span.end_us)
    idle = covered_until - first - busy
    return DeviceTime(busy / steps, idle / steps, _operators(spans, steps))


def _operators(spans: Sequence[Span], steps: int) -> tuple[Operator, ...]:
    by_name: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_name[span.name].append(span)
    found = [
        Operator(name, len(own) / steps, sum(span.end_us - span.start_us for span in own) / steps)
        for name, own in by_name.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.us))
