"""Runners in front of the real one: results that come late, as a GPU's do, and memory running out."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.speculation import Speculator
from localfp4.runner.runner import Runner, Step, StepResult
from localfp4.runner.work import Work


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class DeferredStep:
    """The results of one launch, which are read once and in order."""

    def __init__(self, runner: "DeferredRunner", step: Step, fails: bool) -> None:
        self._runner = runner
        self._step = step
        self._fails = fails

    def results(self) -> list[StepResult]:
        assert self._runner.unread.pop(0) is self, "steps are read in the order of their launch"
        if self._fails:
            self._runner.unread.clear()
            raise self._runner.error
        return self._step.results()


class DeferredRunner:
    """Watches what the engine launches before it has read what it launched before.

    Attributes:
        unread: Steps that were launched and not read.
        ahead: How many were launched before the one before was read.
        checked: Guesses that were checked.
        released: How often memory was given back.
        fail_launches: Numbers of the launches that fail, after all was computed.
        fail_results: Numbers of the launches whose results cannot be read.
        error: How they fail.
    """

    def __init__(self, runner: Runner) -> None:
        self.decoder = runner.decoder
        self.caches = runner.caches
        self.device = runner.device
        self.unread: list[DeferredStep] = []
        self.launches = self.ahead = self.checked = self.released = 0
        self.fail_launches: Collection[int] = ()
        self.fail_results: Collection[int] = ()
        self.error: BaseException = OutOfMemoryError("CUDA out of memory.")
        self._runner = runner
        self._draws = 0

    def launch(self, work: Sequence[Work]) -> DeferredStep:
        assert work, "a step does something"
        assert len(self.unread) < 2, "the engine runs ahead by one step"
        for item in work:
            self._check(item)
        self.launches += 1
        self.ahead += bool(self.unread)
        self.checked += sum(len(item.drafts) for item in work)
        step = self._runner.launch(work)
        self._draws = sum(1 + len(item.drafts) for item in work if item.draw is not None)
        if self.launches in self.fail_launches:
            self.unread.clear()
            raise self.error
        deferred = DeferredStep(self, step, self.launches in self.fail_results)
        self.unread.append(deferred)
        return deferred

    def release_memory(self) -> None:
        self.released += 1

    def _check(self, item: Work) -> None:
        if item.follows is not None:
            assert self.unread, "the token is known by now"
            assert 0 <= item.follows < self._draws
            assert len(item.tokens) == item.end - 1
            assert (item.end - item.start, item.drafts) == (1, ())
        else:
            assert item.end <= len(item.tokens)


def ahead_of(
    engine: Engine, speculator: Speculator | None = None, **options: Any
) -> tuple[Engine, DeferredRunner]:
    """Return an engine of the same model that launches steps before it knows the last tokens."""
    runner = DeferredRunner(engine._model.runner)
    model = replace(engine._model, runner=runner, speculator=speculator)  # type: ignore[arg-type]
    return Engine(EngineConfig(engine.info.name, **options), model, run_ahead=True), runner
