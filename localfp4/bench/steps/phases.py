"""Which part of a step takes how long on the host: named functions, timed while they are watched."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Any, Self

PHASES: Mapping[str, str] = MappingProxyType(
    {
        "engine": "localfp4.engine.engine:Engine.step",
        "schedule": "localfp4.engine.scheduler:Scheduler.schedule",
        "commit": "localfp4.engine.scheduler:Scheduler.commit",
        "settle": "localfp4.engine.scheduler:Scheduler.settle",
        "deliver": "localfp4.engine.answer:Answer.add",
        "launch": "localfp4.runner.runner:Runner.launch",
        "wait": "localfp4.runner.step:Step.results",
    }
)
"""Parts of a step, and the function that does each, as ``module:name``.

A part counts without those within it: ``engine`` and ``launch`` are what is left. ``wait`` is the
time in which the device had more to do than the host, and what comes of a step being read. What
``launch`` consists of tell the runner's own ranges, such as ``prepare`` and ``forward``.
"""

_RANGES = "localfp4.runner.runner:span"


class Watch:
    """Times the phases of steps while it is entered, in the thread that made it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0
        self._restored = ExitStack()

    def __enter__(self) -> Self:
        for phase, target in PHASES.items():
            self._replace(target, functools.partial(self._timed, phase))
        self._replace(_RANGES, lambda _: self._range)
        return self

    def __exit__(self, *error: object) -> None:
        self._restored.close()

    def microseconds(self, steps: int) -> dict[str, float]:
        """Return what each phase took per step, the largest first; not those that never ran."""
        ordered = sorted(self._seconds.items(), key=lambda item: -item[1])
        return {phase: 1e6 * spent / steps for phase, spent in ordered}

    def _replace(self, target: str, by: Callable[[Any], Any]) -> None:
        """Put something else in the place of a function until the watch is left."""
        owner, name = _owner(target)
        original = getattr(owner, name)
        self._restored.callback(setattr, owner, name, original)
        setattr(owner, name, by(original))

    def _timed(self, phase: str, run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self._range(phase):
                return run(*arguments, **named)

        return timed

    @contextmanager
    def _range(self, phase: str) -> Iterator[None]:
        self._switch()
        self._running.append(phase)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def _switch(self) -> None:
        """Charge the time since the last switch to what was running."""
        now = self._clock()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now


def _owner(target: str) -> tuple[Any, str]:
    """Return the module or class of a function, and its name there."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
