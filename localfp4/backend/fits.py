"""Whether a model fits this computer now, fast enough to be asked while a slider moves; torch-free.

A model is opened once and its weights are added up once; what is asked again is only the plan.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import Source, find
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.outlining import look_quietly
from localfp4.checkpoint.synthetic.model import SyntheticModel
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.forecast import Candidate, Forecast, Weighed, candidate, plan_for, weigh
from localfp4.models.forecast_words import advice_on, memory_rows
from localfp4.models.here import machine_here
from localfp4.models.plan import Machine, compute_dtype
from localfp4.reports import Choice, Fit, ModelFacts

_LOOK_EVERY_S = 1.0
"""How old a look at the memory may be: asking the driver takes longer than a plan."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model that was looked into, and when its files were as they were then."""

    source: Source
    stamp: Hashable
    model: Candidate


class Fits:
    """Plans models for this computer. All methods may be called from any thread."""

    def __init__(self, config: EngineConfig) -> None:
        """Remember what applies to every model.

        Args:
            config: What the user asked for; a choice changes its model, precision and context.
        """
        self._config = config
        self._lock = Lock()
        self._opening: dict[str, Lock] = {}
        self._opened: dict[str, _Opened] = {}
        self._weighed: dict[Hashable, Weighed] = {}
        self._looked_s = float("-inf")
        self._looked: tuple[int, str, Machine] | None = None

    def describe(self, model: str) -> ModelFacts:
        """Read what the headers of a model on this computer tell.

        Raises:
            UserError: It is not here, or cannot be run.
        """
        with self._alone(model):
            known = self._open(model).model
        return ModelFacts(
            family=known.spec.family,
            weight_format=format_name(known.checkpoint),
            parameters=known.parameters,
            context_tokens=known.spec.max_context,
        )

    def fit(self, choice: Choice, *, held_bytes: int = 0) -> Fit:
        """Plan a model for what is free now; of one of the hub that is not here, headers are read.

        Args:
            choice: Which, how wide, and with how long a context.
            held_bytes: Memory of the device that the loaded engine would give back.

        Raises:
            UserError: It cannot be had, or cannot be run.
        """
        config = chosen(self._config, choice)
        with self._alone(choice.model):
            opened = self._open(choice.model, on_the_hub=True)
            device, machine = self._machine(held_bytes)
            weighed = self._weigh(config, opened, machine)
        try:
            found = plan_for(config, weighed, machine)
        except ContextError as error:
            return Fit(
                fits=False,
                reason=str(error),
                device=device,
                free_bytes=machine.free_bytes,
                total_bytes=machine.total_bytes,
                context_tokens=choice.context or 0,
                model_context_tokens=opened.model.spec.max_context,
            )
        return _fitting(device, found)

    def _alone(self, model: str) -> Lock:
        """Return what keeps a model from being opened twice; others need not wait for the hub."""
        with self._lock:
            return self._opening.setdefault(model, Lock())

    def _machine(self, held_bytes: int) -> tuple[str, Machine]:
        with self._lock:
            now_s, known = monotonic(), self._looked
            if known is None or known[0] != held_bytes or now_s - self._looked_s > _LOOK_EVERY_S:
                known = (held_bytes, *machine_here(self._config.device, held_bytes=held_bytes))
                self._looked, self._looked_s = known, now_s
        return known[1:]

    def _open(self, name: str, *, on_the_hub: bool = False) -> _Opened:
        known = self._opened.get(name)
        if known is not None and isinstance(known.source, Outline) and not on_the_hub:
            known = None
        if known is None or known.stamp != _stamp(known.source):
            source = look_quietly(name) if on_the_hub else find(name)
            model = candidate(source, self._config.rounding)
            known = self._opened[name] = _Opened(source, _stamp(source), model)
        return known

    def _weigh(self, config: EngineConfig, opened: _Opened, machine: Machine) -> Weighed:
        free, count = machine.free_bytes, opened.model.parameters
        dtype = compute_dtype(config, count, device=machine.device, free_bytes=free)
        key = (config.model, opened.stamp, config.precision, dtype)
        if key not in self._weighed:
            self._weighed[key] = weigh(config, opened.model, machine)
        return self._weighed[key]


def chosen(config: EngineConfig, choice: Choice) -> EngineConfig:
    """Return a config with what was chosen in it.

    Raises:
        RequestError: The precision or the context is none.
    """
    return replace(
        config,
        model=choice.model,
        precision=choice.precision or config.precision,
        max_model_len=config.max_model_len if choice.context is None else choice.context,
        shortens_context=config.shortens_context and choice.context is None,
    )


def _fitting(device: str, found: Forecast) -> Fit:
    plan, machine = found.plan, found.machine
    return Fit(
        fits=True,
        reason="",
        device=device,
        free_bytes=machine.free_bytes,
        total_bytes=machine.total_bytes,
        rows=tuple(memory_rows(found)),
        context_tokens=plan.max_model_len,
        model_context_tokens=found.spec.max_context,
        is_whole=plan.placement.is_whole,
        expected_tokens_per_s=plan.expected_tokens_per_s,
        limit_tokens_per_s=plan.limit_tokens_per_s,
        advice=tuple(advice_on(found)),
    )


def _stamp(source: Source) -> Hashable:
    """Return something that changes when a model's files do; ``None`` once they are gone."""
    if isinstance(source, SyntheticModel):
        return "synthetic"
    folder = source.folder if isinstance(source, Outline) else source
    try:
        config = (folder / "config.json").stat()
        return (config.st_mtime_ns, config.st_size, folder.stat().st_mtime_ns)
    except OSError:
        return None
