"""What is compiled before the first request is all that steps launch, whatever shares them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from localfp4.checkpoint.synthetic.model import synthetic_model
from localfp4.config import PAGE_SIZE
from localfp4.models.execution import Execution
from localfp4.models.kv_groups import kv_groups
from localfp4.models.load import outline_decoder
from localfp4.models.opened import open_model
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.rehearsal import rehearse
from localfp4.runner.work import Work
from localfp4_kernels.launch import recorded
from localfp4_kernels.target import Target

META = torch.device("meta")


def decoding(end: int) -> Work:
    return share(end - 1, end, is_decode=True)


def chunk(start: int, tokens: int) -> Work:
    return share(start, start + tokens, is_decode=False)


def share(start: int, end: int, *, is_decode: bool) -> Work:
    pages = [[0] * -(-end // PAGE_SIZE)]
    return Work([0] * end, start, end, pages, is_decode, draw=None)


STEPS: list[Sequence[Work]] = [
    [decoding(100), chunk(0, 33)],
    [*[decoding(65)] * 3, chunk(64, 17), chunk(0, 5)],
    [*[decoding(3000)] * 5, chunk(128, 100), chunk(0, 1)],
    [*[decoding(70)] * 7, chunk(0, 300)],
    [*[decoding(70)] * 20, chunk(64 * 30, 1)],
    [chunk(0, 7), chunk(64, 9)],
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "capability"),
    [("gpt-oss-20b:2", 89), ("qwen3.6-35b-a3b:4", 89), ("qwen3-30b-a3b:1", 120)],
)
def test_sequences_beside_prompts(name: str, capability: int) -> None:
    """Rows of one kind begin in the middle of a step; kernels are compiled for aligned tensors."""
    model = open_model(synthetic_model(name))
    spec = replace(model.spec, mtp=())
    execution = Execution(Target(capability, 128))
    decoder = outline_decoder(model.checkpoint, spec, torch.bfloat16, execution)
    rehearsed = rehearse(decoder, "fp8", max_batch=20, max_step_tokens=512)
    known = {launch.specialisation for launch in rehearsed}
    groups = len(kv_groups(spec))
    caches = allocate_caches(
        spec, [1] * groups, "fp8", META, slots=1, state_dtype=torch.bfloat16, for_kernels=True
    )
    for work in STEPS:
        slot = 0 if spec.is_recurrent else None
        fitted = [replace(item, pages=[*item.pages] * groups, slot=slot) for item in work]
        with torch.inference_mode(), recorded() as launches:
            decoder.forward(prepare(fitted, META), caches)
        assert {launch.specialisation for launch in launches} <= known
        for launch in launches:
            for value in launch.arguments.values():
                if isinstance(value, torch.Tensor) and value.numel():
                    assert value.storage_offset() * value.element_size() % 16 == 0
