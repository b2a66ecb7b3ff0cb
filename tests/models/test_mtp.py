"""Multi-token prediction against transformers' own layer for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.modeling_layers import MtpModel

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import PAGE_SIZE
from localfp4.errors import CheckpointError
from localfp4.models.decoder import Decoder
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import load_decoder
from localfp4.models.size import weight_bytes
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work
from tests.models import tiny

pytestmark = pytest.mark.parity

CPU = torch.device("cpu")
LENGTH = PAGE_SIZE + 20
NAMES = {"enorm": "pre_fc_norm_embedding", "hnorm": "pre_fc_norm_hidden", "eh_proj": "fc"}


def mtp_name(name: str) -> str:
    """Return what checkpoints call a parameter of transformers' module."""
    _, _, part, rest = name.split(".", 3)
    if part == "mtp_block":
        return f"mtp.layers.0.{rest}"
    return f"mtp.{NAMES.get(part, 'norm')}.{rest}"


@pytest.fixture(scope="module", params=["qwen3_5", "qwen3_5_moe"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any, Path]:
    """A model, its head, and the folder of both."""
    torch.manual_seed(0)
    # transformers takes the class of the head's norms from the last layer's first one.
    layers = ["linear_attention", "full_attention"]
    heads = {"num_mtp_layers": 1, "mtp_layer_types": ["full_attention"]}
    changes = {"num_hidden_layers": 2, "layer_types": layers, **heads}
    model = tiny.build_from(tiny.complete(tiny.CONFIGS[request.param] | changes))
    tiny.randomise(model)
    made: Any = MtpModel(model, 1)
    head = made.eval()
    tiny.randomise(head.layers)
    root = tmp_path_factory.mktemp("mtp")
    folder = tiny.save(model, root / "plain")
    extra = {mtp_name(f"layers.{name}"): t for name, t in head.layers.state_dict().items()}
    assert len(extra) > 10
    return model, head, tiny.restored(folder, root / "model", tiny.stored(folder) | extra)


def load(folder: Path, **changes: Any) -> Decoder:
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    spec = replace(decoder_spec(settings), **changes)
    text = text_part(checkpoint, renames(settings)).checkpoint
    loading = load_decoder(text, spec, torch.float32, CPU)
    while True:
        try:
            next(loading)
        except StopIteration as finished:
            decoder: Decoder = finished.value
            return decoder


def ours(decoder: Decoder, ids: list[int], chunk: int) -> torch.Tensor:
    """Return drafts' logits after each token but the last, chunk by chunk."""
    heads = replace(decoder.spec, layers=decoder.spec.mtp)
    caches = allocate_caches(decoder.spec, [2], "float32", CPU, slots=1)
    head_caches = allocate_caches(heads, [2], "float32", CPU)
    logits = []
    for start in range(0, len(ids) - 1, chunk):
        end = min(start + chunk, len(ids) - 1)
        first, following = (
            prepare([Work(tokens, start, end, [[0, 1]], False, draw=None, slot=0)], CPU)
            for tokens in (ids, ids[1:])
        )
        hidden = decoder.forward(first, caches)
        logits.append(decoder.logits(decoder.draft(hidden, following, head_caches)))
    return torch.cat(logits)


@torch.no_grad()
def theirs(model: Any, head: Any, ids: list[int]) -> torch.Tensor:
    hidden = model.model(torch.tensor([ids[:-1]])).last_hidden_state
    positions = torch.arange(1, len(ids)).unsqueeze(0)
    out = head.forward_layer(
        0, hidden, positions, mtp_cache=DynamicCache(), input_ids=torch.tensor([ids[1:]])
    )
    logits: torch.Tensor = head._project_to_logits(out)[0]
    return logits


@pytest.mark.parametrize("chunk", [LENGTH, 23])
@torch.no_grad()
def test_drafts_are_those_of_transformers(built: tuple[Any, Any, Path], chunk: int) -> None:
    model, head, folder = built
    ids = tiny.token_ids(LENGTH)
    wanted, got = theirs(model, head, ids), ours(load(folder), ids, chunk)
    assert wanted.std() > 0.3
    assert float((got - wanted).abs().max()) <= tiny.TOLERANCE


@pytest.mark.parametrize("part", ["pre_fc_norm_hidden.weight", "layers.0.self_attn.q_norm.weight"])
@torch.no_grad()
def test_every_part_counts(built: tuple[Any, Any, Path], tmp_path: Path, part: str) -> None:
    """The negative control."""
    model, head, folder = built
    tensors = tiny.stored(folder)
    tensors[f"mtp.{part}"] += 0.02
    decoder, ids = load(tiny.restored(folder, tmp_path / "model", tensors)), tiny.token_ids(30)
    assert float((ours(decoder, ids, 30) - theirs(model, head, ids)).abs().max()) > 3e-4


def test_a_checkpoint_may_come_without(built: tuple[Any, Any, Path], tmp_path: Path) -> None:
    _, _, folder = built
    tensors = {n: t for n, t in tiny.stored(folder).items() if not n.startswith("mtp.")}
    without = load(tiny.restored(folder, tmp_path / "model", tensors))
    assert without.mtp is None
    with pytest.raises(ValueError, match="no head for multi-token prediction"):
        ours(without, tiny.token_ids(3), 3)
    complete = load(folder)
    extra = {n: t for n, t in tiny.stored(folder).items() if n.startswith("mtp.")}
    more = weight_bytes(complete) - weight_bytes(without)
    stored = sum(tensor.numel() * 4 for tensor in extra.values())
    assert stored <= more < 1.01 * stored, "norms of heads have a row for each"
    assert load(folder, mtp=()).mtp is None


def test_half_a_head_is_refused(built: tuple[Any, Any, Path], tmp_path: Path) -> None:
    _, _, folder = built
    tensors = tiny.stored(folder)
    del tensors["mtp.norm.weight"]
    with pytest.raises(CheckpointError, match=r"mtp\.norm\.weight"):
        load(tiny.restored(folder, tmp_path / "model", tensors))
