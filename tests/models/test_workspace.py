"""The bound of what a step takes against what live tensors of outlines really take."""

from dataclasses import replace

import pytest
import torch

from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.models.decoder import Decoder
from localfp4.models.execution import Execution
from localfp4.models.kv_groups import kv_groups
from localfp4.models.load import load_decoder, outline_decoder
from localfp4.models.opened import open_model
from localfp4.models.plan.workspace import (
    logits_row_bytes,
    token_width,
    widths_of,
    workspace_bytes,
)
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work
from localfp4_kernels.launch import recorded
from localfp4_kernels.target import Target
from tests.models.live_bytes import LiveBytes

META = torch.device("meta")
MODELS = [
    "qwen3-8b:1",
    "qwen3-30b-a3b:1",
    "gemma3-27b:1",
    "gpt-oss-20b:2",
    "qwen3.6-27b:4",
    "qwen3.6-35b-a3b:4",
    "gemma4-26b-a4b:6",
]


def prompt(tokens: int, groups: int, slot: int | None) -> list[Work]:
    pages = [[0] * -(-tokens // 64)] * groups
    return [Work([0] * tokens, 0, tokens, pages, is_decode=False, draw=None, slot=slot)]


def answers(batch: int, groups: int, slot: int | None) -> list[Work]:
    pages = [[0] * 64] * groups
    one = Work([0] * 4096, 4095, 4096, pages, is_decode=True, draw=None, slot=slot)
    return [one] * batch


@pytest.mark.parametrize("name", MODELS)
def test_a_step_stays_within_the_bound(name: str) -> None:
    model = open_model(find(f"synthetic:{name}"))
    spec = replace(model.spec, mtp=())
    execution = Execution(Target(89, multiprocessors=128))
    decoder = outline_decoder(model.checkpoint, spec, torch.bfloat16, execution)
    groups, slot = len(kv_groups(spec)), 0 if spec.is_recurrent else None
    caches = allocate_caches(
        spec, [1] * groups, "fp8", META, slots=1, state_dtype=torch.bfloat16, for_kernels=True
    )
    peaks = []
    for work in (prompt(512, groups, slot), answers(64, groups, slot)):
        with torch.inference_mode(), recorded() as launches, LiveBytes(launches) as live:
            decoder.logits(decoder.forward(prepare(work, META), caches)[-64:])
        peaks.append(live.peak)
    config = EngineConfig("m", max_step_tokens=512, max_batch=64, cuda_graphs=False)
    bound = workspace_bytes(
        widths_of(spec), config, "bfloat16", 4096, on_gpu=True, has_kernels=True
    )
    bound -= (32 + 256) * 2**20  # allowed for what is not a tensor of the step
    assert max(peaks) <= bound
    assert bound <= 3 * max(peaks)


def test_the_demo_stays_within_the_bound_on_a_cpu() -> None:
    model = open_model(find("demo"))
    device, context = torch.device("cpu"), 1024
    steps = load_decoder(model.checkpoint, model.spec, torch.float32, device)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            decoder: Decoder = end.value
            break
    caches = allocate_caches(model.spec, [context // 64], "float32", device)
    pages = [list(range(context // 64))]
    chunk = Work([0] * context, 512, context, pages, is_decode=False, draw=None)
    answer = Work([0] * context, context - 1, context, pages, is_decode=True, draw=None)
    peaks = []
    for work in ([chunk], [answer] * 16):
        with torch.inference_mode(), LiveBytes([]) as live:
            decoder.logits(decoder.forward(prepare(work, device), caches)[-16:])
        peaks.append(live.peak)
    config = EngineConfig("demo", max_step_tokens=512, max_batch=16)
    bound = workspace_bytes(
        widths_of(model.spec), config, "float32", context, on_gpu=False, has_kernels=False
    )
    assert max(peaks) <= bound <= 3 * max(peaks)


def test_the_width_of_qwen3_8b() -> None:
    spec = replace(open_model(find("synthetic:qwen3-8b:1")).spec, mtp=())
    # Four streams of 4096; gate, up, the activated gate and the product; a rotation's angles.
    assert token_width(spec) == 4 * 4096 + 4 * 12288 + 2 * 2 * 128
    assert logits_row_bytes(spec, "bfloat16") == 151936 * (2 + 4 + 4)


def test_graphs_keep_what_decoding_takes_once_more() -> None:
    spec = open_model(find("synthetic:qwen3-8b:1")).spec
    config = EngineConfig("m", max_batch=64)

    def bound(config: EngineConfig) -> int:
        return workspace_bytes(
            widths_of(spec), config, "bfloat16", 4096, on_gpu=True, has_kernels=True
        )

    extra = bound(config) - bound(replace(config, cuda_graphs=False))
    assert extra >= 64 * (token_width(spec) * 2 + logits_row_bytes(spec, "bfloat16"))
    smaller = replace(config, max_batch=8)
    assert bound(smaller) < bound(config)
    assert bound(replace(config, max_step_tokens=2048)) > bound(config)


@pytest.mark.parametrize("name", ["qwen3-8b:1", "gpt-oss-20b:2"])
def test_plain_torch_copies_what_it_attends_to(name: str) -> None:
    spec = open_model(find(f"synthetic:{name}")).spec
    config = EngineConfig("m")
    short, long = (
        workspace_bytes(
            widths_of(spec), config, "float32", context, on_gpu=False, has_kernels=False
        )
        for context in (1024, 8192)
    )
    heads = {"qwen3-8b:1": (32 + 8) * 128, "gpt-oss-20b:2": (64 + 8) * 64}[name]
    assert long - short >= 7168 * 2 * heads * 4, "keys and values of every head"
