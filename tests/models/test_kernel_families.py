"""Whole decoders through the kernels (interpreted without a GPU), against transformers."""

from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.errors import UnsupportedModelError
from localfp4.models.decoder import Decoder
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.kv_groups import kv_groups
from localfp4.models.load import load_decoder
from localfp4.models.size import weight_bytes
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.runner import Runner
from localfp4.runner.work import Collect, Work
from localfp4_kernels.device import target_of
from tests.models import tiny

pytestmark = [pytest.mark.parity, *([pytest.mark.gpu] if torch.cuda.is_available() else [])]

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
DTYPE = "bfloat16" if torch.cuda.is_available() else "float32"
EXACT = 5e-2 if torch.cuda.is_available() else 2e-3
"""Largest relative error of logits through kernels that multiply in 16 bits."""


def load(folder: Path) -> Decoder:
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    loading = load_decoder(
        text_part(checkpoint, renames(settings)).checkpoint,
        decoder_spec(settings),
        getattr(torch, DTYPE),
        DEVICE,
        Execution(target_of(DEVICE)),
    )
    while True:
        try:
            next(loading)
        except StopIteration as finished:
            decoder: Decoder = finished.value
            return decoder


def work(tokens: list[int], start: int, end: int, page: int, groups: int) -> Work:
    is_decode = end == start + 1
    return Work(tokens, start, end, [[page]] * groups, is_decode, draw=None, collect=Collect.LOGITS)


@pytest.mark.parametrize(
    "name",
    [
        "gemma4-small",
        pytest.param("gpt_oss", marks=pytest.mark.slow),
        pytest.param("gemma3", marks=pytest.mark.slow),
        pytest.param("gemma4-moe", marks=pytest.mark.slow),
        pytest.param("laguna", marks=pytest.mark.slow),
    ],
)
def test_kernels_compute_what_transformers_does(tmp_path: Path, name: str) -> None:
    """A prompt in two chunks, the second beside a token of another text."""
    model = tiny.build(name)
    decoder = load(tiny.save(model, tmp_path / "model"))
    groups = len(kv_groups(decoder.spec))
    caches = allocate_caches(decoder.spec, [3] * groups, DTYPE, DEVICE, for_kernels=True)
    runner = Runner(decoder, caches, DEVICE)
    long, short = tiny.token_ids(12), tiny.token_ids(4, seed=1)
    first, second = runner.run([work(long, 0, 9, 1, groups), work(short, 0, 3, 2, groups)])
    one, rest = runner.run([work(short, 3, 4, 2, groups), work(long, 9, 12, 1, groups)])
    for ids, parts in ((long, (first, rest)), (short, (second, one))):
        logits = [part.logits for part in parts if part.logits is not None]
        wanted = tiny.logits_of(model, ids)
        assert float((torch.cat(logits) - wanted).norm() / wanted.norm()) < EXACT


def test_the_table_of_per_layer_embeddings_takes_no_memory_of_the_gpu(tmp_path: Path) -> None:
    decoder = load(tiny.save(tiny.build("gemma4-small"), tmp_path / "model"))
    assert decoder.per_layer is not None
    assert decoder.per_layer.table.device.type == "cpu"
    assert weight_bytes(decoder) - decoder.nbytes == decoder.per_layer.table.nbytes > 0


def test_heads_that_no_kernel_takes_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tiny.build("llama-wide-heads"), tmp_path / "model")
    with pytest.raises(UnsupportedModelError, match=r"^Heads of 24 numbers .* --kernels torch"):
        load(folder)
