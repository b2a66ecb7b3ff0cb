"""What running a model on some machine would come to, before any weight is read.

Sizes are exact where torch and Triton can be imported; without them, what the files hold stands for
what kernels keep, which is within a percent.
"""

from dataclasses import dataclass, replace

from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.parameters import parameter_count
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.header_sizes import expanded_sizes, stored_sizes
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
        unlimited: The longest context if no other program held memory there; ``None`` where none
            does, and where that changes nothing.
        lacking_bytes: Memory that the device lacks to hold all weights and the same context.
    """

    config: EngineConfig
    spec: DecoderSpec
    sizes: WeightSizes
    machine: Machine
    plan: MemoryPlan
    unlimited: int | None
    lacking_bytes: int


def forecast(config: EngineConfig, source: Source, machine: Machine) -> Forecast:
    """Plan a model for a machine.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or the format of a weight, is not supported.
        ContextError: It does not fit.
    """
    model = open_model(source)
    guesses = config.speculation == "mtp" or (config.speculation == "auto" and machine.is_gpu)
    spec = model.spec if guesses else replace(model.spec, mtp=())
    parameters = parameter_count(model.checkpoint)
    dtype = compute_dtype(config, parameters, device=machine.device, free_bytes=machine.free_bytes)
    sizes = _sizes(config, model.checkpoint, spec, machine, dtype)
    plan = plan_memory(config, spec, sizes, machine, dtype=dtype)
    return Forecast(
        config=config,
        spec=spec,
        sizes=sizes,
        machine=machine,
        plan=plan,
        unlimited=_unlimited(config, spec, sizes, machine, plan),
        lacking_bytes=_lacking(sizes, plan),
    )


def _sizes(
    config: EngineConfig, checkpoint: Checkpoint, spec: DecoderSpec, machine: Machine, dtype: str
) -> WeightSizes:
    tied = shares_embedding(checkpoint)
    if machine.capability is None or config.kernels == "torch":
        return expanded_sizes(checkpoint, spec, dtype, tied=tied)
    try:
        from localfp4.models.outlined import outlined_sizes
    except ImportError:  # torch is missing or broken, or there is no Triton for this system
        return stored_sizes(checkpoint, spec, tied=tied)
    return outlined_sizes(checkpoint, spec, dtype, machine.capability, config.precision)


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
    try:
        longest = plan_memory(config, spec, sizes, empty, dtype=plan.dtype).max_model_len
    except ContextError:
        return None
    return longest if longest > plan.max_model_len else None


def _lacking(sizes: WeightSizes, plan: MemoryPlan) -> int:
    if plan.placement.is_whole:
        return 0
    return sizes.total - plan.weight_bytes - plan.staging_bytes
