"""What running a model on some machine would come to, before any weight is read; torch-free.

Sizes come from headers; the engine's own plan has those of an outline of the decoder, which differ by
some kilobytes a layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.parameters import parameter_count
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.header_sizes import expanded_sizes, kernel_sizes
from localfp4.models.opened import open_model
from localfp4.models.plan import Machine, MemoryPlan, compute_dtype, plan_memory
from localfp4.models.spec import DecoderSpec
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes


@dataclass(frozen=True, slots=True)
class Forecast:
    """A model on a machine.

    Attributes:
        config: What was asked for.
        spec: The model.
        sizes: Its weights as they would lie in memory.
        machine: Where it would run.
        plan: What would be allocated.
        longer: Longer contexts, by the option that would allow them.
        unlimited: The longest context if no other program held memory there; ``None`` where none
            does, and where that changes nothing.
        lacking_bytes: Memory that the device lacks to hold all weights and the same context.
    """

    config: EngineConfig
    spec: DecoderSpec
    sizes: WeightSizes
    machine: Machine
    plan: MemoryPlan
    longer: Mapping[str, int]
    unlimited: int | None
    lacking_bytes: int

    @property
    def can_narrow(self) -> bool:
        """Whether a KV cache of 8 bits can be asked for, which is not planned."""
        return _can_narrow(self.config, self.machine, self.plan)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is opened and counted once, however many plans are made for it.

    Attributes:
        spec: What it is.
        checkpoint: Its tensors.
        parameters: How many it has.
    """

    spec: DecoderSpec
    checkpoint: Checkpoint
    parameters: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model as it would lie in the memory of one kind of machine.

    Attributes:
        spec: The model, with heads that draft only if they are used.
        dtype: Compute type.
        sizes: Its weights.
    """

    spec: DecoderSpec
    dtype: str
    sizes: WeightSizes


def forecast(config: EngineConfig, source: Source, machine: Machine) -> Forecast:
    """Plan a model for a machine.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or the format of a weight, is not supported.
        ContextError: It does not fit.
    """
    return plan_for(config, weigh(config, candidate(source, config.rounding), machine), machine)


def candidate(source: Source, rounding: str | None = None) -> Candidate:
    """Open a model.

    Args:
        source: Where it is.
        rounding: What its 16-bit linears are rounded to while they are loaded.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or the rounding of this model, is not supported.
    """
    model = open_model(source, rounding)
    return Candidate(model.spec, model.checkpoint, parameter_count(model.checkpoint))


def weigh(config: EngineConfig, model: Candidate, machine: Machine) -> Weighed:
    """Find out how large the weights are on a kind of machine.

    Args:
        config: What was asked for; its context does not matter here.
        model: Which.
        machine: Where it would run; how much of it is free matters only to the type on a CPU.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: The format of a weight is not supported.
    """
    guesses = config.speculation == "mtp" or (config.speculation == "auto" and machine.is_gpu)
    spec = model.spec if guesses else replace(model.spec, mtp=())
    dtype = compute_dtype(
        config, model.parameters, device=machine.device, free_bytes=machine.free_bytes
    )
    runs_kernels = machine.is_gpu and not config.is_plain_torch
    weights = kernel_sizes if runs_kernels else expanded_sizes
    sizes = weights(model.checkpoint, spec, dtype, tied=shares_embedding(model.checkpoint))
    return Weighed(spec, dtype, sizes)


def plan_for(config: EngineConfig, weighed: Weighed, machine: Machine) -> Forecast:
    """Plan a model whose weights are known.

    Raises:
        ContextError: It does not fit.
    """
    spec, sizes = weighed.spec, weighed.sizes
    plan = plan_memory(config, spec, sizes, machine, dtype=weighed.dtype)
    return Forecast(
        config=config,
        spec=spec,
        sizes=sizes,
        machine=machine,
        plan=plan,
        longer=_longer(config, spec, sizes, machine, plan),
        unlimited=_unlimited(config, spec, sizes, machine, plan),
        lacking_bytes=_lacking(sizes, plan),
    )


def _unlimited(
    config: EngineConfig,
    spec: DecoderSpec,
    sizes: WeightSizes,
    machine: Machine,
    plan: MemoryPlan,
) -> int | None:
    if not machine.is_gpu or machine.free_bytes >= machine.total_bytes:
        return None
    empty = replace(machine, free_bytes=machine.total_bytes)
    return _longer_context(config, spec, sizes, empty, plan)


def _longer(
    config: EngineConfig,
    spec: DecoderSpec,
    sizes: WeightSizes,
    machine: Machine,
    plan: MemoryPlan,
) -> dict[str, int]:
    """Return the context with each option changed that makes it longer."""
    changed = {}
    if _can_narrow(config, machine, plan):
        changed["--kv fp8"] = replace(config, kv_cache_dtype="fp8")
    if machine.is_gpu and config.vram_limit is not None and config.vram_limit < machine.room_bytes:
        changed["no --vram-limit"] = replace(config, vram_limit=None)
    found = {
        option: _longer_context(other, spec, sizes, machine, plan)
        for option, other in changed.items()
    }
    return {option: tokens for option, tokens in found.items() if tokens is not None}


def _can_narrow(config: EngineConfig, machine: Machine, plan: MemoryPlan) -> bool:
    has_kernels = machine.is_gpu and not config.is_plain_torch
    return has_kernels and not plan.kv_dtype.startswith("fp8")


def _longer_context(
    config: EngineConfig,
    spec: DecoderSpec,
    sizes: WeightSizes,
    machine: Machine,
    plan: MemoryPlan,
) -> int | None:
    """Return the longest context under other circumstances, if it is longer than a plan's."""
    if config.max_model_len is not None or plan.max_model_len == spec.max_context:
        return None
    try:
        longest = plan_memory(config, spec, sizes, machine, dtype=plan.dtype).max_model_len
    except ContextError:
        return None
    return longest if longest > plan.max_model_len else None


def _lacking(sizes: WeightSizes, plan: MemoryPlan) -> int:
    if plan.placement.is_whole:
        return 0
    return sizes.total - plan.weight_bytes - plan.staging_bytes
