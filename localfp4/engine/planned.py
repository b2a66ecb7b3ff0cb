"""What a model will run on and take, decided before any of its weights is read."""

import logging
from collections.abc import Generator
from dataclasses import dataclass

import torch

from localfp4.checkpoint.hub import Source, download
from localfp4.checkpoint.parameters import parameter_count
from localfp4.config import EngineConfig
from localfp4.engine.device import choice_of_several, choose_device
from localfp4.engine.drafters import Drafters, check_draft, choose_drafters
from localfp4.engine.kernels import choose_execution
from localfp4.engine.machine import machine_of
from localfp4.engine.phases import Phases
from localfp4.messages import LoadProgress
from localfp4.models.execution import Execution
from localfp4.models.header_sizes import expanded_sizes
from localfp4.models.load import Outline, outline
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.plan import Draft, Machine, MemoryPlan, compute_dtype, plan_memory
from localfp4.models.size import weight_sizes
from localfp4.models.spec import DecoderSpec
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A model that is to be loaded.

    Attributes:
        name: What the user calls it.
        source: Where it is.
        opened: Its checkpoint.
        spec: What of it is loaded.
        outline: Its decoder without values, and the order of its tensors; ``None`` in plain torch.
    """

    name: str
    source: Source
    opened: OpenedModel
    spec: DecoderSpec
    outline: Outline | None

    def sizes(self, dtype: str) -> WeightSizes:
        """Return what its weights take in a compute type, as if all lay on the device."""
        if self.outline is not None:
            return weight_sizes(self.outline.decoder)
        checkpoint = self.opened.checkpoint
        return expanded_sizes(checkpoint, self.spec, dtype, tied=shares_embedding(checkpoint))


@dataclass(frozen=True, slots=True)
class Planned:
    """Everything that loading has to know.

    Attributes:
        config: What the user asked for.
        device: Where it runs.
        machine: What is free there.
        execution: What its operators run as.
        main: The model.
        draft: The smaller model that guesses for it.
        drafters: What guesses tokens ahead.
        parameters: How many the model has.
        plan: What will be allocated.
    """

    config: EngineConfig
    device: torch.device
    machine: Machine
    execution: Execution
    main: Part
    draft: Part | None
    drafters: Drafters
    parameters: int
    plan: MemoryPlan

    @property
    def dtype(self) -> torch.dtype:
        """The compute type."""
        return _dtype(self.plan.dtype)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The model, and the one that guesses for it."""
        return (self.main,) if self.draft is None else (self.main, self.draft)

    @property
    def guessing_kv_dtype(self) -> str:
        """Type of the caches of what guesses: nobody calibrated scales for those."""
        return "fp8" if self.plan.kv_dtype == "fp8-static" else self.plan.kv_dtype


def plan_model(config: EngineConfig, phases: Phases) -> Generator[LoadProgress, None, Planned]:
    """Find and check a model, and decide what it takes, yielding progress.

    Raises:
        UserError: It cannot be found, read, supported or fitted into memory.
    """
    device = choose_device(config)
    if choice := choice_of_several(config, device):
        yield LoadProgress(choice)
    source = yield from download(config.model)
    draft_source = None
    if config.draft_model is not None:
        draft_source = yield from download(config.draft_model)
    phases.enter("headers")
    yield LoadProgress("checking the checkpoint")
    model = open_model(source, config.rounding)
    drafters = choose_drafters(config, model, on_gpu=device.type == "cuda")
    execution = choose_execution(config, device)
    phases.enter("plan")
    machine = machine_of(device)
    _log.info("device %s, %s; kernels: %s", device, machine, execution)
    parameters = parameter_count(model.checkpoint)
    dtype = compute_dtype(config, parameters, device=device.type, free_bytes=machine.free_bytes)
    main = _part(config.model, source, model, drafters.loaded_spec(model.spec), dtype, execution)
    draft = None
    if config.draft_model is not None and draft_source is not None:
        smaller = open_model(draft_source)
        check_draft(config.draft_model, smaller, model)
        spec = Drafters().loaded_spec(smaller.spec)
        draft = _part(config.draft_model, draft_source, smaller, spec, dtype, execution)
    plan = plan_memory(
        config,
        main.spec,
        main.sizes(dtype),
        machine,
        dtype=dtype,
        draft=None if draft is None else Draft(draft.spec, draft.sizes(dtype)),
    )
    _log.info("plan: %s", plan)
    return Planned(config, device, machine, execution, main, draft, drafters, parameters, plan)


def _part(
    name: str,
    source: Source,
    opened: OpenedModel,
    spec: DecoderSpec,
    dtype: str,
    execution: Execution,
) -> Part:
    outlined = None
    if execution.target is not None:
        outlined = outline(opened.checkpoint, spec, _dtype(dtype), execution)
    return Part(name, source, opened, spec, outlined)


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype
