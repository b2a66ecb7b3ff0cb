"""Bytes that a decode step moves, against figures worked out by hand and published ones."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.checkpoint.hub import find
from localfp4.models.header_sizes import kernel_sizes
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.spec import AttentionSpec
from localfp4.models.traffic import (
    decode_bytes,
    prefill_bytes,
    sequence_bytes,
    shared_bytes,
    visited_share,
)
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes
from tests.models.plan_models import GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B, QWEN3_8B, spec_of


def sizes(model: OpenedModel) -> WeightSizes:
    tied = shares_embedding(model.checkpoint)
    return kernel_sizes(model.checkpoint, replace(model.spec, mtp=()), "bfloat16", tied=tied)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [("qwen3-8b", 5.15), ("qwen3-14b", 8.99), ("gemma3-27b", 17.2), ("qwen3-30b-a3b", 2.18)],
)
def test_weights_that_a_token_reads(name: str, gigabytes: float) -> None:
    # Half a byte a weight and a scale for each 16; embedding and output projection have 16 bits.
    model = open_model(find(f"synthetic:{name}"))
    found = decode_bytes(model.spec, sizes(model), "fp8", context=0)
    assert found / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_keys_and_values_of_qwen3_8b() -> None:
    spec = spec_of(QWEN3_8B)
    assert sequence_bytes(spec, "bfloat16", 1000) == 1000 * 144 * 1024
    assert sequence_bytes(spec, "fp8", 1000) == 1000 * 36 * 2 * 8 * (128 + 4)


def test_windows_end_the_growth() -> None:
    spec = spec_of(GEMMA3_27B)
    layer = 2 * 16 * (128 + 4)
    assert sequence_bytes(spec, "fp8", 500) == 500 * 62 * layer
    assert sequence_bytes(spec, "fp8", 8192) == (10 * 8192 + 52 * 1024) * layer
    spec = spec_of(GPT_OSS_20B)
    assert sequence_bytes(spec, "bfloat16", 4096) == 12 * (4096 + 128) * 2 * 8 * 64 * 2


def test_states_are_read_and_written() -> None:
    spec = spec_of(QWEN3_5_27B)
    state = 48 * (48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2)
    assert sequence_bytes(spec, "fp8", 100) == 2 * state + 100 * 16 * 2 * 4 * (256 + 4)


def test_a_layer_without_keys_of_its_own_reads_those_of_another() -> None:
    spec = spec_of(QWEN3_8B)
    mixer = spec.layers[1].mixer
    assert isinstance(mixer, AttentionSpec)
    sharing = replace(spec.layers[1], mixer=replace(mixer, shares_kv_of=0))
    shared = replace(spec, layers=(spec.layers[0], sharing, *spec.layers[2:]))
    assert sequence_bytes(shared, "fp8", 300) == sequence_bytes(spec, "fp8", 300)


def test_experts_that_a_batch_visits() -> None:
    model = open_model(find("synthetic:qwen3-30b-a3b:2"))
    layer = model.spec.layers[0]
    assert visited_share(layer, 1) == pytest.approx(8 / 128)
    # Two tokens share an expert with probability 1/16 for each of the eight.
    assert visited_share(layer, 2) == pytest.approx((16 - 0.5) / 128)
    assert visited_share(layer, 512) > 0.999
    found = sizes(model)
    one, two = (decode_bytes(model.spec, found, "fp8", 0, batch) for batch in (1, 2))
    assert two - one == pytest.approx(sum(found.experts) * 7.5 / 128, abs=4)


def test_tables_that_are_looked_up_are_not_read() -> None:
    spec = spec_of(QWEN3_8B)
    some = WeightSizes(rest=1000, layers=(10,) * 36, experts=(0,) * 36, looked_up=300, drafting=50)
    assert decode_bytes(spec, some, "fp8", 0) == 700 + 360


SPEC = spec_of(QWEN3_8B)
SIZES = WeightSizes(rest=1000, layers=(100,) * 36, experts=(0,) * 36, looked_up=400)
TOKEN = 144 * 1024


def prompt_bytes(tokens: int, batch: int = 1, depth: int = 0) -> int:
    return prefill_bytes(SPEC, SIZES, "bfloat16", tokens, batch, depth, step_tokens=512)


def test_a_prompt_reads_weights_once_a_step_and_the_output_projection_where_it_ends() -> None:
    assert prompt_bytes(1) == 600 + 3600 + TOKEN
    assert prompt_bytes(512) == 600 + 3600 + 512 * TOKEN
    # The second part of 88 tokens reads what the first has left.
    assert prompt_bytes(600) == 600 + 2 * 3600 + (600 + 512) * TOKEN
    assert prompt_bytes(100, depth=64) == 600 + 3600 + (100 + 64) * TOKEN


def test_prompts_share_steps() -> None:
    assert prompt_bytes(128, batch=4) == 600 + 3600 + 4 * 128 * TOKEN
    assert prompt_bytes(128, batch=5) == 2 * (600 + 3600) + 5 * 128 * TOKEN
    assert prompt_bytes(1024, batch=2) == 2 * 600 + 4 * 3600 + 2 * (1024 + 512) * TOKEN


def test_a_prompt_reads_no_more_than_a_window() -> None:
    gemma, layer = spec_of(GEMMA3_27B), 2 * 16 * (128 + 4)
    none = WeightSizes(rest=0, layers=(0,) * 62, experts=(0,) * 62)
    moved = prefill_bytes(gemma, none, "fp8", 4096, step_tokens=2048)
    assert moved == 62 * 4096 * layer + (10 * 2048 + 52 * 1024) * layer


def test_every_part_of_a_prompt_moves_states() -> None:
    spec = spec_of(QWEN3_5_27B)
    none = WeightSizes(rest=0, layers=(0,) * 64, experts=(0,) * 64)
    state = 48 * (48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2)
    token = 16 * 2 * 4 * (256 + 4)
    # A new context begins with zeros.
    assert prefill_bytes(spec, none, "fp8", 100, step_tokens=512) == state + 100 * token
    moved = prefill_bytes(spec, none, "fp8", 600, 1, 50, step_tokens=512)
    assert moved == 2 * 2 * state + (600 + 50 + 562) * token


def test_a_long_prompt_visits_every_expert_and_the_rest_of_it_some() -> None:
    spec = spec_of(GPT_OSS_20B)
    stacks = WeightSizes(rest=0, layers=(0,) * 24, experts=(3200,) * 24, expert_count=32)
    written = 24 * 2 * 8 * 64 * 2
    moved = prefill_bytes(spec, stacks, "bfloat16", 512, step_tokens=512)
    assert moved == 24 * 3200 + 512 * written
    again = prefill_bytes(spec, stacks, "bfloat16", 513, step_tokens=512)
    read = 12 * (512 + 128) * 2 * 8 * 64 * 2
    assert again == moved + written + read + 24 * 3200 * 4 // 32


def test_a_single_token_moves_what_decoding_it_does_and_what_it_leaves() -> None:
    decoded = decode_bytes(SPEC, SIZES, "bfloat16", context=700)
    assert prompt_bytes(1, depth=700) == decoded + TOKEN
    assert shared_bytes(SIZES) + sequence_bytes(SPEC, "bfloat16", 700) == decoded


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_more_tokens_move_more(tokens: int, batch: int, depth: int) -> None:
    moved = prompt_bytes(tokens, batch, depth)
    assert prompt_bytes(tokens + 1, batch, depth) > moved
    assert prompt_bytes(tokens, batch + 1, depth) > moved
    assert prompt_bytes(tokens, batch, depth + 1) > moved
