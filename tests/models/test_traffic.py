"""Bytes that a decode step moves, against figures worked out by hand and published ones."""

from dataclasses import replace

import pytest

from localfp4.checkpoint.hub import find
from localfp4.models.header_sizes import stored_sizes
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.spec import AttentionSpec
from localfp4.models.traffic import decode_bytes, sequence_bytes, visited_share
from localfp4.models.tying import shares_embedding
from localfp4.models.weight_sizes import WeightSizes
from tests.models.plan_models import GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B, QWEN3_8B, spec_of


def sizes(model: OpenedModel) -> WeightSizes:
    tied = shares_embedding(model.checkpoint)
    return stored_sizes(model.checkpoint, replace(model.spec, mtp=()), tied=tied)


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
