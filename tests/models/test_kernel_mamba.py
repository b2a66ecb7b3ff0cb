"""Mamba-2 through the kernels (interpreted without a GPU), against plain torch."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import SamplingParams
from localfp4.llm import LLM
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import outline_decoder
from localfp4.runner.rehearsal import rehearse
from localfp4_kernels.device import target_of
from localfp4_kernels.launch import Launch
from tests.models import tiny

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = "bfloat16" if torch.cuda.is_available() else "float32"
EXACT = 3e-2 if torch.cuda.is_available() else 1e-3
"""Largest relative error of logits through 16-bit kernels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.build("nemotron_h-dense"), tmp_path_factory.mktemp("mamba") / "model")


def answers(folder: Path, kernels: str) -> tuple[torch.Tensor, list[list[int]]]:
    """Logits of a prompt in two steps, and two prompts that are answered together."""
    params = SamplingParams(max_tokens=2, temperature=0, ignore_eos=True)
    settings: dict[str, Any] = {"max_model_len": 128, "max_step_tokens": 16, "max_batch": 2}
    with LLM(str(folder), kernels=kernels, device=DEVICE, dtype=DTYPE, **settings) as llm:
        logits = llm.logits(tiny.token_ids(24))
        prompts = [{"prompt_token_ids": tiny.token_ids(size, seed=size)} for size in (5, 20)]
        return logits, [answer.token_ids for answer in llm.generate(prompts, params)]


def test_kernels_compute_what_torch_does_and_all_were_rehearsed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: dict[Hashable, str] = {}
    run = Launch.run

    def spy(launch: Launch) -> None:
        launched[launch.specialisation] = launch.kernel.fn.__name__
        run(launch)

    expected, tokens = answers(folder, "torch")
    with monkeypatch.context() as patch:
        patch.setattr(Launch, "run", spy)
        logits, answered = answers(folder, "triton")
    assert float((logits - expected).norm() / expected.norm()) < EXACT
    assert DTYPE == "bfloat16" or answered == tokens
    ours = {"_update_kernel", "_scan_kernel"}
    assert ours | {"_conv_update_kernel", "_conv_prefill_kernel"} <= set(launched.values())

    checkpoint = open_checkpoint(folder)
    config = dict(checkpoint.config)
    checkpoint = text_part(checkpoint, renames(config)).checkpoint
    execution = Execution(target_of(torch.device(DEVICE)))
    outline = outline_decoder(checkpoint, decoder_spec(config), getattr(torch, DTYPE), execution)
    rehearsed = rehearse(outline, DTYPE, max_batch=2, max_step_tokens=16)
    assert set(launched) <= {launch.specialisation for launch in rehearsed}
