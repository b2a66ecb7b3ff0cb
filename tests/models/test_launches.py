"""How many launches a decode step takes, layer by layer, of models whose linears are NVFP4.

Outlines run on the ``meta`` device as if for an RTX 4090: kernels of the project are collected, and
every operator of torch that computes something counts as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.kv_groups import kv_groups
from localfp4.models.layer import Layer
from localfp4.models.load import outline_decoder
from localfp4.models.spec import AttentionSpec, GatedDeltaSpec, MambaSpec, MlaSpec, ShortConvSpec
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work
from localfp4_kernels.launch import recorded
from localfp4_kernels.target import Target
from tests.models import tiny
from tests.models.packers import PACKERS
from tests.models.test_families_in_formats import quantised

pytestmark = pytest.mark.parity

META = torch.device("meta")
PAGES = 64

LOOKS = frozenset(
    [
        "_unsafe_view",
        "alias",
        "as_strided",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "expand",
        "new_empty",
        "permute",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unsqueeze",
        "view",
    ]
)
"""Operators that launch nothing."""

WAITS = frozenset(["_local_scalar_dense", "nonzero", "masked_select", "unique"])
"""Operators for which the host waits, so that no graph can hold them."""


KINDS = {
    AttentionSpec: "attention",
    GatedDeltaSpec: "gated_delta",
    MambaSpec: "mamba",
    MlaSpec: "mla",
    ShortConvSpec: "conv",
    type(None): "none",
}
"""Names of mixers in the table below."""


class Heard(TorchDispatchMode):
    """Notes the operators that torch dispatches and that compute something."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        if name not in LOOKS:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def outline(name: str, folder: Path) -> Decoder:
    """Return a tiny model in NVFP4, without memory."""
    source = tiny.save(tiny.build(name), folder / "model")
    packed, *_ = quantised(source, folder, PACKERS["NVFP4"])
    checkpoint = open_checkpoint(packed)
    settings = dict(checkpoint.config)
    return outline_decoder(
        text_part(checkpoint, renames(settings)).checkpoint,
        decoder_spec(settings),
        torch.bfloat16,
        Execution(Target(89, 128)),
    )


def launches(
    decoder: Decoder, layers: tuple[Layer, ...], caches: tuple[Cache, ...], rows: int
) -> int:
    """Return how often a step of ``rows`` decode rows launches something."""
    end = PAGES * 64
    pages = [[0] * PAGES] * len(kv_groups(decoder.spec))
    slot = 0 if decoder.spec.is_recurrent else None
    work = Work([0] * end, end - 1, end, pages, is_decode=True, draw=None, slot=slot)
    batch = prepare([work] * rows, META)
    # Without gradients, and not in inference mode, composite operators are seen as what they are.
    with torch.no_grad(), recorded() as kernels, Heard() as heard:
        replace(decoder, layers=layers).forward(batch, caches)
    assert not WAITS.intersection(heard.names)
    return len(kernels) + len(heard.names)


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize(
    ("name", "most", "step"),
    [
        # Norm, QKV, rotation and cache, attention and its merging, its result as words, O, norm,
        # gate and up, their product as words, down.
        ("qwen3", {"attention": 11}, 11),
        ("gemma3", {"attention": 11}, 20),
        ("qwen3_moe", {"attention": 14}, 11),
        ("gpt_oss", {"attention": 14}, 11),
        ("gemma4-moe", {"attention": 22}, 20),
        ("gemma4-small", {"attention": 15}, 23),
        ("qwen3_5", {"attention": 11, "gated_delta": 12}, 11),
        ("qwen3_5_moe", {"attention": 19, "gated_delta": 20}, 11),
        ("nemotron_h", {"attention": 7, "mamba": 6, "none": 12}, 11),
        ("lfm2", {"attention": 11, "conv": 10}, 11),
        pytest.param("laguna", {"attention": 20}, 20, marks=pytest.mark.slow),
        pytest.param("ministral3", {"attention": 11}, 17, marks=pytest.mark.slow),
        pytest.param("olmo2", {"attention": 11}, 11, marks=pytest.mark.slow),
        pytest.param(
            "granitemoehybrid", {"attention": 11, "mamba": 10}, 11, marks=pytest.mark.slow
        ),
        pytest.param("deepseek_v3", {"mla": 23}, 11, marks=pytest.mark.slow),
    ],
)
def test_launches_of_a_decode_step(
    tmp_path: Path, name: str, most: dict[str, int], step: int, rows: int
) -> None:
    """Of each layer by its mixer, and of all that is done once a step."""
    decoder = outline(name, tmp_path)
    caches = allocate_caches(
        decoder.spec,
        [1] * len(kv_groups(decoder.spec)),
        "fp8",
        META,
        slots=1,
        state_dtype=torch.bfloat16,
        for_kernels=True,
    )
    once = launches(decoder, (), (), rows)
    assert once <= step
    found = dict.fromkeys(most, 0)
    for spec, layer, cache in zip(decoder.spec.layers, decoder.layers, caches, strict=True):
        kind = KINDS[type(spec.mixer)]
        count = launches(decoder, (layer,), (cache,), rows) - once
        found[kind] = max(found[kind], count)
    assert all(found.values())
    assert {kind: count for kind, count in found.items() if count > most[kind]} == {}
