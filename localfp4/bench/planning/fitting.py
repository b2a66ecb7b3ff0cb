"""Which cases of a model fit a machine, and what each takes there; arithmetic only, torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from localfp4.bench.planning.sizing import beyond_context, sized
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.forecast import Weighed
from localfp4.models.placement import Placement
from localfp4.models.plan import Machine, MemoryPlan, plan_memory
from localfp4.models.plan.budget import Budget, budget_of
from localfp4.models.plan.dtypes import kv_cache_dtype

_GIB = 2**30

_OOM = "OOM (needs "
_BESIDE = "with the other cells"


@dataclass(frozen=True, slots=True)
class Demand:
    """What some cases take on a device, in bytes; the largest of them decides.

    Attributes:
        weights: Weights, as far as they lie there.
        cache: Keys, values and states of every sequence of a batch.
        work: The most that a step takes besides, and what CUDA does.
        reserve: What of the memory that may be used stays free for other programs.
    """

    weights: int
    cache: int
    work: int
    reserve: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.work + self.reserve


@dataclass(frozen=True, slots=True)
class Fitting:
    """Which cases run, and how the engine is built for them.

    Attributes:
        weighed: The model.
        config: With room for these cases; as it was where there are none.
        cases: Those that fit together, in their order.
        plan: What is allocated for them; ``None`` where there are none.
        demands: What every case takes alone, but those that no context is long enough for.
        refused: Why others do not fit.
    """

    weighed: Weighed
    config: EngineConfig
    cases: tuple[Case, ...] = ()
    plan: MemoryPlan | None = None
    demands: Mapping[Case, Demand] = field(default_factory=dict)
    refused: Mapping[Case, str] = field(default_factory=dict)


def fit(config: EngineConfig, weighed: Weighed, machine: Machine, cases: Sequence[Case]) -> Fitting:
    """Find out which cases fit, largest cases leaving first where not all do at once.

    Weights that fit the device all stay on it: no case makes room for itself by moving some of them
    to main memory, which would slow down the others. Where they do not fit, more of them move the
    larger the cases are.

    Args:
        config: What was asked for.
        weighed: The model.
        machine: Where.
        cases: What should run.
    """
    room = _Room(replace(config, dtype=weighed.dtype), weighed, machine)
    refused = {
        case: reason
        for case in cases
        if (reason := beyond_context(case, config, weighed.spec.max_context))
    }
    alone = {case: room.outlook([case]) for case in cases if case not in refused}
    refused |= {case: outlook.reason for case, outlook in alone.items() if outlook.reason}
    demands = {case: outlook.demand for case, outlook in alone.items()}
    kept = [case for case in cases if case not in refused]
    by_size = sorted(kept, key=lambda case: demands[case].total)
    while kept:
        together = room.outlook(kept, _BESIDE)
        if not together.reason:
            config = room.sized(kept)
            return Fitting(weighed, config, tuple(kept), together.plan, demands, refused)
        largest = by_size.pop()
        refused[largest] = together.reason
        kept.remove(largest)
    return Fitting(weighed, config, demands=demands, refused=refused)


def is_too_large(reason: str) -> bool:
    """Say whether a case was refused since it takes more than there is, even by itself."""
    return reason.startswith(_OOM) and _BESIDE not in reason


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What becomes of some cases together.

    Attributes:
        demand: What they take.
        plan: What would be allocated; ``None`` where that is too much.
        reason: Why they do not fit; empty where they do.
    """

    demand: Demand
    plan: MemoryPlan | None
    reason: str = ""


class _Room:
    """A model on a machine."""

    def __init__(self, config: EngineConfig, weighed: Weighed, machine: Machine) -> None:
        self._config = config
        self._weighed = weighed
        self._machine = machine
        least = self._plan(self.sized([Case(1, 1, 1)]))
        self._may_move = least is not None and not least.placement.is_whole

    def sized(self, cases: Sequence[Case]) -> EngineConfig:
        """Return how an engine is built for some cases."""
        return sized(self._config, cases)

    def outlook(self, cases: Sequence[Case], beside: str = "") -> _Outlook:
        """Say whether some cases fit.

        Args:
            cases: At least one.
            beside: Whom the memory is shared with, in words.
        """
        config = self.sized(cases)
        budget, plan = self._budget(config), self._plan(config)
        placement = plan.placement if plan is not None and self._may_move else Placement()
        demand = self._demand(budget, placement)
        free = self._free()
        if demand.total > free or plan is None or plan.placement != placement:
            needs, left = _as_different(demand.total, free)
            words = f"{_OOM}{needs} GiB{f' {beside}' if beside else ''}; {left} free)"
            return _Outlook(demand, plan, words)
        return _Outlook(demand, plan, _too_few(plan, budget))

    def _plan(self, config: EngineConfig) -> MemoryPlan | None:
        spec, sizes, dtype = self._weighed.spec, self._weighed.sizes, self._weighed.dtype
        try:
            return plan_memory(config, spec, sizes, self._machine, dtype=dtype)
        except ContextError:
            return None

    def _demand(self, budget: Budget, placement: Placement) -> Demand:
        config = budget.config
        batch, tokens = config.max_batch, config.kv_cache_tokens or 0
        states = budget.states(batch) if budget.per_state else 0
        return Demand(
            weights=budget.weights(placement),
            cache=budget.cache(tokens, batch) + states,
            work=budget.workspace(config.max_model_len or 0),
            reserve=self._reserve(),
        )

    def _free(self) -> int:
        limit = self._config.vram_limit if self._machine.is_gpu else None
        return min(self._machine.free_bytes, limit or self._machine.free_bytes)

    def _reserve(self) -> int:
        """Return what stays free of that; what a limit leaves free counts as such."""
        beyond = self._machine.free_bytes - self._free()
        return max(self._machine.reserve_bytes - beyond, 0)

    def _budget(self, config: EngineConfig) -> Budget:
        spec, sizes, dtype = self._weighed.spec, self._weighed.sizes, self._weighed.dtype
        kv_dtype = kv_cache_dtype(config, self._machine, dtype)
        return budget_of(config, spec, sizes, self._machine, dtype, kv_dtype)


def _too_few(plan: MemoryPlan, budget: Budget) -> str:
    """Say what of a batch has no room although all of its cache does; empty where all has."""
    batch = budget.config.max_batch
    if plan.state_slots and plan.state_slots < batch:
        return f"There is room for the states of {plan.state_slots} of {batch} sequences."
    wanted = budget.pools.pages(plan.kv_cache_tokens, batch)
    if any(has < wants for has, wants in zip(plan.group_pages, wanted, strict=True)):
        return f"There is no room for the windows of {batch} sequences beside the cache."
    return ""


def _as_different(needed: int, free: int) -> tuple[str, str]:
    """Return two sizes in GiB with as many decimals as tell them apart."""
    for digits in (1, 2, 3):
        texts = f"{needed / _GIB:.{digits}f}", f"{free / _GIB:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts
