"""Weights that do not fit the card: what goes where, and what it costs, worked out by hand."""

from dataclasses import replace

import pytest

from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.placement import (
    PlacedBytes,
    Placement,
    host_decode_bytes,
    placed_bytes,
    seconds_per_token,
)
from localfp4.models.plan import Machine, MemoryPlan, card_machine, plan_memory
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import sequence_bytes
from localfp4.models.weight_sizes import WeightSizes
from localfp4.telemetry.cards import card_named
from tests.models.plan_models import GIB, QWEN3_8B, QWEN3_30B_A3B, sizes_of, spec_of

MIXTURE_BYTES = 18_177_184_384
DENSE_BYTES = 6_402_884_416


@pytest.fixture(scope="module")
def mixture() -> DecoderSpec:
    return spec_of(QWEN3_30B_A3B)


@pytest.fixture(scope="module")
def dense() -> DecoderSpec:
    return spec_of(QWEN3_8B)


def plan(
    spec: DecoderSpec, sizes: WeightSizes, machine: Machine, config: EngineConfig | None = None
) -> MemoryPlan:
    return plan_memory(config or EngineConfig("m"), spec, sizes, machine, dtype="bfloat16")


def test_split_experts_lie_in_main_memory_as_a_whole() -> None:
    sizes = WeightSizes(rest=1000, layers=(100, 100), experts=(800, 600), expert_count=8)
    # A product of all experts passes through the card: gate and up are two thirds of them.
    assert placed_bytes(sizes, Placement(expert_slots=6)) == PlacedBytes(
        card=1000 + 200 + 600 + 450, staging=534, host=1400
    )
    assert placed_bytes(sizes, Placement()) == PlacedBytes(2600, 0, 0)


def test_layers_in_main_memory_are_the_last() -> None:
    sizes = WeightSizes(rest=1000, layers=(100, 120), experts=(800, 0), expert_count=8)
    assert placed_bytes(sizes, Placement(host_layers=1)) == PlacedBytes(1900, 120, 120)
    both = placed_bytes(sizes, Placement(expert_slots=0, host_layers=1))
    assert both == PlacedBytes(1100, 534, 920)


def test_what_a_token_reads_from_main_memory(mixture: DecoderSpec) -> None:
    sizes = sizes_of(mixture, MIXTURE_BYTES)
    # 8 of 128 experts are visited, and half of the visits miss the half that lies on the card.
    assert host_decode_bytes(mixture, sizes, Placement(64)) == pytest.approx(
        sum(sizes.experts) * 8 / 128 / 2
    )
    assert host_decode_bytes(mixture, sizes, Placement()) == 0
    last = sizes.layers[-1] + sizes.experts[-1] * 8 / 128
    assert host_decode_bytes(mixture, sizes, Placement(host_layers=1)) == pytest.approx(last)


def test_time_of_a_token_is_the_sum_of_both_ways(mixture: DecoderSpec) -> None:
    sizes = sizes_of(mixture, MIXTURE_BYTES)
    far = host_decode_bytes(mixture, sizes, Placement(64))
    near = sizes.rest + sum(sizes.layers) + sum(sizes.experts) * 8 / 128 - far
    near += sequence_bytes(mixture, "fp8", 2048)
    found = seconds_per_token(
        mixture, sizes, Placement(64), "fp8", 2048, bandwidth=504e9, link=31.5e9
    )
    assert found == pytest.approx(near / 504e9 + far / 31.5e9)
    unknown = seconds_per_token(
        mixture, sizes, Placement(64), "fp8", 2048, bandwidth=504e9, link=None
    )
    assert unknown is None


def test_a_mixture_on_a_4070_keeps_as_many_experts_as_fit(mixture: DecoderSpec) -> None:
    sizes = sizes_of(mixture, MIXTURE_BYTES)
    machine = card_machine(card_named("4070"), 28 * 10**9)
    made = plan(mixture, sizes, machine)
    slots = made.placement.expert_slots
    assert slots is not None
    assert 32 < slots < 96
    assert made.placement.host_layers == 0
    assert made.host_bytes == sum(sizes.experts)
    assert made.max_model_len >= 8192
    assert made.total_bytes + made.reserve_bytes <= machine.free_bytes
    one_more = made.weight_bytes + sum(sizes.experts) // 128
    least = made.total_bytes - made.weight_bytes - made.kv_cache_bytes
    assert one_more + least + 8192 * made.kv_bytes_per_token > machine.free_bytes - GIB
    told = " ".join(made.describe())
    assert f"{slots} experts of every mixture lie on the card" in told
    assert "tokens a second are expected" in told


def test_an_explicit_context_takes_the_place_of_experts(mixture: DecoderSpec) -> None:
    sizes = sizes_of(mixture, MIXTURE_BYTES)
    machine = card_machine(card_named("4070"), 28 * 10**9)
    made = plan(mixture, sizes, machine)
    longer = plan(mixture, sizes, machine, EngineConfig("m", max_model_len=32768))
    assert longer.max_model_len == 32768
    assert (longer.placement.expert_slots or 0) < (made.placement.expert_slots or 0)
    assert (longer.limit_tokens_per_s or 0) < (made.limit_tokens_per_s or 0)


def test_a_dense_model_keeps_its_last_layers_elsewhere(dense: DecoderSpec) -> None:
    sizes = sizes_of(dense, DENSE_BYTES)
    made = plan(dense, sizes, card_machine(card_named("4060"), 16 * 10**9))
    assert made.placement.expert_slots is None
    assert 0 < made.placement.host_layers < 12
    assert made.host_bytes == made.placement.host_layers * sizes.layers[0]
    assert made.staging_bytes == sizes.layers[0]
    assert made.max_model_len >= 4096
    assert "read from main memory" in made.describe()[0]


def test_a_dense_model_that_fits_is_not_moved_for_a_long_context(dense: DecoderSpec) -> None:
    config = EngineConfig("m", max_model_len=40960)
    machine = replace(card_machine(card_named("4070"), 64 * 10**9), free_bytes=10 * GIB)
    with pytest.raises(ContextError, match=r"--ctx \d+   needs .* GiB, fits"):
        plan(dense, sizes_of(dense, DENSE_BYTES), machine, config)


def test_main_memory_that_is_too_small_is_named(mixture: DecoderSpec) -> None:
    sizes = sizes_of(mixture, MIXTURE_BYTES)
    machine = card_machine(card_named("4070"), 8 * GIB)
    with pytest.raises(ContextError) as refused:
        plan(mixture, sizes, machine)
    text = str(refused.value)
    assert f"and {sum(sizes.experts) / GIB:.1f} GiB of main memory" in text
    assert "7.2 GiB can be had" in text


def test_plain_torch_has_everything_on_the_card(mixture: DecoderSpec) -> None:
    machine = card_machine(card_named("4070"), 64 * GIB)
    config = EngineConfig("m", kernels="torch")
    with pytest.raises(ContextError, match="pick a smaller model"):
        plan(mixture, sizes_of(mixture, MIXTURE_BYTES), machine, config)
