"""Operations of a model, against what torch counts while transformers runs the same one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from localfp4.checkpoint.hub import find
from localfp4.models.flops import decode_flops, prefill_flops
from localfp4.models.opened import open_model
from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    GatedDeltaSpec,
    MambaSpec,
    MixerSpec,
    MlaSpec,
)
from localfp4_kernels.mla.torch_mla import mla_decode_torch
from tests.models.plan_models import GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B, QWEN3_8B, spec_of
from tests.models.tiny import build, save, token_ids

CONTEXT = 38
"""Past the windows of the tiny models, which are of 8 tokens."""

SPECS = [spec_of(config) for config in (QWEN3_8B, GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B)]


def opened(name: str, folder: Path) -> tuple[Any, DecoderSpec]:
    """Return a tiny model of transformers whose experts multiply what they are given, and its spec."""
    model = build(name)
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model, open_model(find(str(save(model, folder)))).spec


@torch.no_grad()
def counted(model: Any, context: int) -> int:
    """Return the operations of the products that decode the last token of a context."""
    ids, cache = torch.tensor([token_ids(context)]), None
    if context > 1:
        cache = model(ids[:, :-1], use_cache=True).past_key_values
    with FlopCounterMode(display=False) as counter:
        model(ids[:, -1:], past_key_values=cache, use_cache=True)
    flops = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    # Its single steps convolve more outputs than one.
    return sum(count for op, count in flops.items() if op != "aten.convolution")


@pytest.mark.parametrize(
    "name",
    [
        "llama",
        "mistral-sliding",
        "arcee",  # has no gate
        "olmoe",
        "qwen3_moe-mixed",  # dense layers among others
        "gemma4-small",  # layers that share keys, and an embedding for each layer
        "gemma4-moe",
        "gpt_oss",
        "laguna-elements",  # attention with a gate
    ],
)
def test_a_decoded_token_takes_what_transformers_multiplies(name: str, tmp_path: Path) -> None:
    model, spec = opened(name, tmp_path)
    assert decode_flops(spec, CONTEXT) == counted(model, CONTEXT)


def test_a_window_that_is_forgotten_would_be_noticed(tmp_path: Path) -> None:
    model, spec = opened("mistral-sliding", tmp_path)
    layers = [
        replace(layer, mixer=replace(layer.mixer, window=None))
        for layer in spec.layers
        if isinstance(layer.mixer, AttentionSpec)
    ]
    wide = replace(spec, layers=tuple(layers))
    assert decode_flops(wide, 8) == decode_flops(spec, 8) == counted(model, 8)
    assert decode_flops(wide, 9) > decode_flops(spec, 9) == counted(model, 9)


@pytest.mark.parametrize(
    "name", ["qwen3_5_moe", "qwen3_next", "nemotron_h-latent", "granitemoehybrid", "lfm2_moe"]
)
def test_recurrences_add_what_is_no_product_of_matrices_there(name: str, tmp_path: Path) -> None:
    model, spec = opened(name, tmp_path)
    beside = sum(elementwise(layer.mixer) for layer in spec.layers)
    assert beside > 0
    assert decode_flops(spec, CONTEXT) == counted(model, CONTEXT) + beside


def elementwise(mixer: MixerSpec | None) -> int:
    """Count what transformers' single step computes number by number, as products of matrices."""
    if mixer is None or mixer.state is None:
        return 0
    channels, past = mixer.state.conv
    with FlopCounterMode(display=False) as counter:
        functional.conv1d(
            torch.ones(1, channels, past + 1), torch.ones(channels, 1, past + 1), groups=channels
        )
        match mixer:
            case GatedDeltaSpec():
                key, value = torch.ones(mixer.k_dim, 1), torch.ones(1, mixer.v_dim)
                for _ in range(mixer.v_heads):
                    state = key @ value
                    _ = state.T @ key
                    _ = state.T @ key
            case MambaSpec():
                for _ in range(mixer.heads):
                    _ = torch.ones(mixer.head_dim, 1) @ torch.ones(1, mixer.state_dim)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", ["deepseek_v3", "glm4_moe_lite-direct"])
def test_latent_attention_is_counted_in_absorbed_form(name: str, tmp_path: Path) -> None:
    """Where a token sees itself alone, transformers expands as many keys as heads are absorbed."""
    model, spec = opened(name, tmp_path)
    mixers = [layer.mixer for layer in spec.layers if isinstance(layer.mixer, MlaSpec)]
    assert len(mixers) == len(spec.layers)
    there = sum(2 * m.heads * (m.nope_dim + m.rope_dim + m.v_dim) for m in mixers)
    here = sum(attended(mixer, 1) for mixer in mixers)
    assert decode_flops(spec, 1) - here == counted(model, 1) - there
    grown = sum(attended(mixer, CONTEXT) for mixer in mixers) - here
    assert decode_flops(spec, CONTEXT) - decode_flops(spec, 1) == grown


def attended(mla: MlaSpec, context: int) -> int:
    """Count what latent attention multiplies for one token."""
    width, page = mla.kv_rank + mla.rope_dim, 64
    with FlopCounterMode(display=False) as counter:
        mla_decode_torch(
            torch.ones(1, mla.heads, width),
            torch.ones(1, 1, page, width),
            torch.zeros(1, 1, dtype=torch.long),
            torch.tensor([context]),
            mla.kv_rank,
            mla.scale,
        )
    return int(counter.get_total_flops())


def test_a_prompt_of_qwen3_8b_takes_twice_its_weights_a_token() -> None:
    spec = spec_of(QWEN3_8B)
    layer = 4096 * (32 + 8 + 8) * 128 + 32 * 128 * 4096 + 3 * 4096 * 12288
    attention = 36 * 4 * 32 * 128 * (1024 * 1025 // 2)
    head = 2 * 151936 * 4096
    assert prefill_flops(spec, 1024) == 2 * 1024 * 36 * layer + attention + head


contexts = st.integers(0, 6000)


@given(st.sampled_from(SPECS), contexts, st.integers(1, 40), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_a_prompt_takes_the_same_in_one_part_or_in_several(
    spec: DecoderSpec, depth: int, tokens: int, more: int
) -> None:
    whole = prefill_flops(spec, tokens + more, depth)
    rest = prefill_flops(spec, more, depth + tokens)
    assert prefill_flops(spec, tokens, depth, sampled=0) + rest == whole
    one_by_one = sum(decode_flops(spec, depth + place) for place in range(1, tokens + 1))
    assert prefill_flops(spec, tokens, depth, sampled=tokens) == one_by_one


@given(st.sampled_from(SPECS), contexts, st.integers(1, 2000), st.integers(1, 64))
@settings(max_examples=30, deadline=None)
def test_longer_contexts_and_larger_batches_take_no_less(
    spec: DecoderSpec, depth: int, more: int, batch: int
) -> None:
    shallow, deep = decode_flops(spec, depth + 1, batch), decode_flops(spec, depth + more, batch)
    assert deep >= shallow > 0
    assert decode_flops(spec, depth + 1, batch + 1) - shallow == shallow // batch
    assert prefill_flops(spec, more, depth + 1) > prefill_flops(spec, more, depth)
