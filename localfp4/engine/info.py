"""What the front end is told of a model that was loaded."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from localfp4.checkpoint.describe import format_name
from localfp4.config import SamplingParams
from localfp4.engine.device import choice_of_several, device_uuid
from localfp4.engine.kernels import describe
from localfp4.engine.planned import Planned
from localfp4.errors import RequestError
from localfp4.messages import ModelInfo, Thinks
from localfp4.models.decoder import Decoder
from localfp4.models.emulate import emulation_of
from localfp4.models.opened import OpenedModel


def model_info(
    planned: Planned,
    decoder: Decoder,
    phases: Sequence[tuple[str, float]],
    *,
    load_s: float,
    has_chat_template: bool,
    thinks: Thinks,
    notes: Sequence[str],
) -> ModelInfo:
    """Put together what is shown of a model.

    Args:
        planned: What was decided.
        decoder: What was loaded.
        phases: What the time of loading went to, in words, and seconds.
        load_s: Seconds from the start of loading.
        has_chat_template: Whether conversations can be rendered.
        thinks: Whether the model reasons before it answers.
        notes: What the user should know besides what the plan says.
    """
    plan, device, checkpoint = planned.plan, planned.device, planned.main.opened.checkpoint
    return ModelInfo(
        name=planned.config.model,
        family=planned.main.spec.family,
        parameters=planned.parameters,
        weight_format=format_name(checkpoint),
        kernel_path=describe(decoder, planned.dtype),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        dtype=plan.dtype,
        max_model_len=plan.max_model_len,
        kv_cache_tokens=plan.kv_cache_tokens,
        weight_bytes=decoder.nbytes,
        kv_cache_bytes=plan.kv_cache_bytes,
        load_s=load_s,
        has_chat_template=has_chat_template,
        sampling=_default_sampling(checkpoint.generation_config),
        vocab_size=planned.main.spec.vocab_size,
        notes=(
            *_chosen(planned),
            *_left_out(planned.main.opened),
            *planned.main.opened.notes,
            *_placed(planned),
            *_without_effect(planned),
            *_emulated(decoder),
            *notes,
        ),
        load_phases=tuple(phases),
        thinks=thinks,
        limit_tokens_per_s=plan.limit_tokens_per_s or 0.0,
        device_uuid=device_uuid(device),
    )


def _chosen(planned: Planned) -> tuple[str, ...]:
    """Name the GPU where there are several, and how to take another."""
    choice = choice_of_several(planned.config, planned.device)
    return (f"Runs on {choice}.",) if choice else ()


def _left_out(model: OpenedModel) -> tuple[str, ...]:
    if not model.left_out:
        return ()
    return (f"Only the text part of this model is loaded; left out: {', '.join(model.left_out)}.",)


def _placed(planned: Planned) -> tuple[str, ...]:
    """Say what lies where, which only matters where not everything lies on the card."""
    return () if planned.plan.placement.is_whole else tuple(planned.plan.describe())


def _without_effect(planned: Planned) -> tuple[str, ...]:
    """Name what was asked for and is not for a CPU."""
    if planned.device.type == "cuda":
        return ()
    config = planned.config
    asked = {"--vram-limit": config.vram_limit is not None, "--eager": not config.cuda_graphs}
    named = " and ".join(option for option, given in asked.items() if given)
    return (f"{named} only matter on a GPU, and this runs on the CPU.",) if named else ()


def _emulated(decoder: Decoder) -> tuple[str, ...]:
    """Say what the answers stand for, and what their speed does not."""
    if decoder.execution.emulated is None:
        return ()
    if emulation_of(decoder) is None:
        return (
            "--kernels emulated rounds nothing: at this precision an RTX 50 reads the inputs of "
            "these layers in 16 bits, too.",
        )
    return (
        "Plain torch rounds the inputs of quantised layers as an RTX 50 would: answers are of that "
        "quality, and far slower than on the card.",
    )


def _default_sampling(generation: Mapping[str, Any]) -> SamplingParams:
    """Read the model's own defaults, as far as they make sense.

    ``do_sample: false`` is greedy; files that say nothing get temperature 1, as vLLM has it.
    """
    defaults = SamplingParams()
    if not generation.get("do_sample", True):
        return replace(defaults, temperature=0.0)
    for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        change: dict[str, Any] = {name: generation.get(name)}
        if isinstance(change[name], int | float) and not isinstance(change[name], bool):
            with suppress(RequestError):
                defaults = replace(defaults, **change)
    return defaults
