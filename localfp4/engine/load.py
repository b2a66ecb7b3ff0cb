"""From a model's name to everything an engine needs; the only place where the parts meet."""

import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import download
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.parameters import parameter_count
from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.kernels import choose_execution, compilation, describe
from localfp4.engine.prompt import PromptEncoder
from localfp4.engine.self_test import self_test
from localfp4.engine.static_kv import static_kv_scales
from localfp4.errors import RequestError
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.models.decoder import Decoder
from localfp4.models.kv_groups import kv_groups
from localfp4.models.load import load_decoder, outline_decoder, shares_embedding
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.plan import MemoryPlan, compute_dtype, plan_memory
from localfp4.models.spec import DecoderSpec
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.runner import Runner
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.memory import system_memory
from localfp4.text.stop_tokens import stop_token_ids
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run.

    Attributes:
        runner: Runs its steps.
        prompts: Encodes requests.
        stop_ids: Tokens that end an answer.
        pages: Size of the KV cache in pages.
        state_slots: Sequences for which recurrent layers have room; 0 for models without any.
        state_snapshots: Copies of their states for which there is room besides.
        info: What the front end shows.
    """

    runner: Runner
    prompts: PromptEncoder
    stop_ids: frozenset[int]
    pages: int
    state_slots: int
    state_snapshots: int
    info: ModelInfo


def load_model(config: EngineConfig) -> Generator[LoadProgress, None, LoadedModel]:
    """Find, check and load a model, yielding progress.

    Raises:
        UserError: It cannot be found, read, supported or fitted into memory.
    """
    started = time.perf_counter()
    device = _device(config)
    folder = yield from download(config.model)
    yield LoadProgress("checking the checkpoint")
    model = open_model(folder)
    checkpoint = model.checkpoint
    # Heads that predict further tokens would take memory, and nothing drafts with them yet.
    spec = replace(model.spec, mtp=())
    tied, parameters = shares_embedding(checkpoint), parameter_count(checkpoint)
    execution = choose_execution(config, device)
    free_bytes = _free_bytes(device)
    dtype_name = compute_dtype(config, parameters, device=device.type, free_bytes=free_bytes)
    dtype = getattr(torch, dtype_name)
    outline = None
    if execution.target is not None:
        outline = outline_decoder(checkpoint, spec, dtype, execution)
    plan = plan_memory(
        config,
        spec,
        parameters=parameters,
        tied=tied,
        device=device.type,
        free_bytes=free_bytes,
        weight_bytes=None if outline is None else outline.nbytes,
    )
    static_scales = {}
    if plan.kv_dtype == "fp8-static":
        static_scales = static_kv_scales(checkpoint, spec)
    tokenizer = _tokenizer(checkpoint)
    template = ChatTemplate.from_folder(folder)
    if template is not None:
        template.prepare()
    with compilation(outline, plan.kv_dtype, config, device) as rest:
        decoder = yield from load_decoder(
            checkpoint, spec, dtype, device, execution, plan.max_model_len
        )
        yield LoadProgress("allocating the KV cache")
        pages = plan.kv_cache_tokens // PAGE_SIZE
        caches = allocate_caches(
            spec,
            [pages] * len(kv_groups(spec)),
            plan.kv_dtype,
            device,
            slots=plan.state_slots + plan.state_snapshots,
            state_dtype=dtype,
            for_kernels=execution.target is not None,
            static_scales=static_scales,
        )
        yield from rest
    runner = Runner(decoder, caches, device)
    doubts: tuple[str, ...] = ()
    if not execution.is_interpreted:  # which takes minutes for what a card does in milliseconds
        yield LoadProgress("checking that the model makes sense")
        doubts = self_test(
            runner, tokenizer, spec.vocab_size, plan.kv_cache_tokens, config.max_step_tokens
        )
    info = _info(config, checkpoint, spec, plan, decoder, device, parameters, template, started)
    return LoadedModel(
        runner=runner,
        prompts=PromptEncoder(tokenizer, template, spec.vocab_size, plan.max_model_len),
        stop_ids=stop_token_ids(folder, tokenizer, template),
        pages=pages,
        state_slots=plan.state_slots,
        state_snapshots=plan.state_snapshots,
        info=replace(info, notes=(*_left_out(model), *doubts)),
    )


def _left_out(model: OpenedModel) -> tuple[str, ...]:
    if not model.left_out:
        return ()
    return (f"Only the text part of this model is loaded; left out: {', '.join(model.left_out)}.",)


def _device(config: EngineConfig) -> torch.device:
    """Choose the device, and give matrix work its threads where that is the CPU."""
    name = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"There is no device '{name}'; use cpu, cuda or cuda:0.") from error
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"Device '{name}' is not supported; use cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(
            "This PyTorch sees no CUDA device; install a CUDA build of PyTorch and a current "
            "driver, or use --device cpu."
        )
    if device.type == "cpu":
        torch.set_num_threads(config.threads or usable_cores())
        return device
    index = torch.cuda.current_device() if device.index is None else device.index
    count = torch.cuda.device_count()
    if index >= count:
        raise RequestError(f"There is no GPU '{name}'; the last one here is cuda:{count - 1}.")
    return torch.device("cuda", index)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    return system_memory().available_bytes


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer | None:
    """Load the tokenizer; a folder without any still runs on token ids."""
    known = ("tokenizer.json", "tekken.json", "tokenizer.model")
    if not any((checkpoint.folder / name).exists() for name in known):
        return None
    return Tokenizer.from_folder(checkpoint.folder)


def _info(
    config: EngineConfig,
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    plan: MemoryPlan,
    decoder: Decoder,
    device: torch.device,
    parameters: int,
    template: ChatTemplate | None,
    started: float,
) -> ModelInfo:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return ModelInfo(
        name=config.model,
        family=spec.family,
        parameters=parameters,
        weight_format=format_name(checkpoint),
        kernel_path=describe(decoder, getattr(torch, plan.dtype)),
        device=name,
        dtype=plan.dtype,
        max_model_len=plan.max_model_len,
        kv_cache_tokens=plan.kv_cache_tokens,
        weight_bytes=decoder.nbytes,
        kv_cache_bytes=plan.kv_cache_tokens * plan.kv_bytes_per_token,
        load_s=time.perf_counter() - started,
        has_chat_template=template is not None,
        sampling=_default_sampling(checkpoint.generation_config),
        vocab_size=spec.vocab_size,
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
