"""From a ``config.json`` to a spec: every spelling of every setting is understood."""

import subprocess
import sys
from typing import Any

import pytest

from localfp4.models.families import decoder_spec
from localfp4.models.spec import MlpSpec, MoeSpec, RopeSpec
from tests.models.configs import BASE, LLAMA3, MOE, spec


def rope(**changes: Any) -> RopeSpec:
    return spec(**changes).layers[0].attention.rope


def windows(**changes: Any) -> list[int | None]:
    return [layer.attention.window for layer in spec(**changes).layers]


def test_nothing_here_needs_torch() -> None:
    code = (
        "import sys; from localfp4.models.families import FAMILIES; import localfp4.models.plan;"
        "[__import__('localfp4.models.families.' + name) for name in FAMILIES];"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_llama() -> None:
    made = spec(rope_theta=500000.0)
    assert (made.family, made.vocab_size, made.hidden_size) == ("llama", 1000, 64)
    assert (made.norm_eps, made.max_context, len(made.layers)) == (1e-5, 2048, 4)
    attention = made.layers[0].attention
    assert (attention.heads, attention.kv_heads, attention.head_dim) == (4, 2, 16)
    assert attention.scale == 0.25
    assert attention.rope == RopeSpec(16, 500000.0)
    assert not any((attention.qk_norm, attention.qkv_bias, attention.out_bias))
    assert made.layers[0].feed_forward == MlpSpec(96)


def test_llamas_biases() -> None:
    layer = spec(attention_bias=True, mlp_bias=True).layers[0]
    assert layer.attention.qkv_bias
    assert layer.attention.out_bias
    assert layer.feed_forward == MlpSpec(96, bias=True)


def test_qwen2_has_a_bias_on_query_key_and_value_only() -> None:
    attention = spec(model_type="qwen2").layers[0].attention
    assert attention.qkv_bias
    assert not any((attention.out_bias, attention.qk_norm))


def test_qwen3_normalises_heads_and_has_wide_ones_by_default() -> None:
    attention = spec(model_type="qwen3").layers[0].attention
    assert attention.qk_norm
    assert not attention.qkv_bias
    assert attention.head_dim == 128
    assert spec(model_type="qwen3", head_dim=32).layers[0].attention.head_dim == 32


def test_head_settings_left_out_or_null_follow_from_others() -> None:
    for absent in (..., None):
        attention = spec(head_dim=absent, num_key_value_heads=absent).layers[0].attention
        assert (attention.kv_heads, attention.head_dim) == (4, 16)


@pytest.mark.parametrize("name", ["num_experts", "num_local_experts", "n_routed_experts"])
def test_experts_under_each_name(name: str) -> None:
    made = spec(**{**MOE, "num_experts": ..., name: 8}, norm_topk_prob=True)
    assert made.layers[0].feed_forward == MoeSpec(8, 2, 32, renormalise=True)


def test_dense_layers_among_sparse_ones() -> None:
    made = spec(**MOE, mlp_only_layers=[3], decoder_sparse_step=2, num_hidden_layers=6)
    kinds = [isinstance(layer.feed_forward, MoeSpec) for layer in made.layers]
    assert kinds == [False, True, False, False, False, True]
    assert all(
        spec(**MOE, mlp_only_layers=None).layers[i].feed_forward == MoeSpec(8, 2, 32, False)
        for i in range(4)
    )


def test_sliding_windows() -> None:
    on: dict[str, Any] = {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 32}
    assert windows(**on | {"use_sliding_window": False}) == [None] * 4
    assert windows(**on | {"use_sliding_window": ...}) == [None] * 4
    assert windows(**on, max_window_layers=3) == [None, None, None, 32]
    assert windows(**on) == [None] * 4, "the first 28 layers see everything"
    types = ["sliding_attention", "full_attention"] * 2
    assert windows(**on, layer_types=types, max_window_layers=0) == [32, None, 32, None]
    assert windows(**on | MOE) == [32] * 4
    for family in (on | {"max_window_layers": 0}, on | MOE):
        assert windows(**family | {"sliding_window": None}) == [None] * 4


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", ["rope_type", "type"])
def test_rope_settings_in_old_and_new_files(key: str, kind: str) -> None:
    expected = RopeSpec(16, 7e5, "linear", 2.0)
    assert rope(**{key: {kind: "linear", "factor": 2.0}}, rope_theta=7e5) == expected
    inside = {kind: "linear", "factor": 2.0, "rope_theta": 7e5}
    assert rope(**{key: inside}, rope_theta=1e4) == expected, "inside the dict wins"


def test_rope_without_settings() -> None:
    assert rope() == RopeSpec(16, 10000.0)
    empty: dict[str, Any] | None
    for empty in (None, {}):
        assert rope(rope_scaling=empty, rope_theta=5.5e5) == RopeSpec(16, 5.5e5)
    both = {"rope_scaling": {"type": "linear", "factor": 3.0}, "rope_parameters": {"factor": 9.0}}
    assert rope(**both).factor == 3.0, "a non-empty rope_scaling wins"


def test_nulls_in_rope_settings_count_as_absent() -> None:
    found = rope(
        rope_parameters={"rope_type": None, "rope_theta": None, "partial_rotary_factor": None},
        rope_theta=2e5,
    )
    assert found == RopeSpec(16, 2e5)


def test_the_original_context() -> None:
    def original(**changes: Any) -> int:
        return rope(**changes).original_context

    assert original(rope_scaling=LLAMA3) == 512
    assert original(rope_scaling=LLAMA3, original_max_position_embeddings=256) == 256
    bare = {key: v for key, v in LLAMA3.items() if not key.startswith("original")}
    assert original(rope_scaling=bare) == 2048


def test_yarns_attention_factor() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0}

    def factor(**extra: float) -> float:
        return rope(rope_scaling=yarn | extra).attention_factor

    assert factor() == pytest.approx(1.1386294361)
    assert factor(attention_factor=0.9) == 0.9
    assert factor(mscale=1.0, mscale_all_dim=1.0) == 1.0
    assert factor(mscale=0.0, mscale_all_dim=0.0) == pytest.approx(1.1386294361)
    assert factor(factor=0.5) == 1.0


def test_a_text_config_inside_a_wrapper() -> None:
    text = {"model_type": "qwen3"} | BASE
    assert decoder_spec({"model_type": "wrapper", "text_config": text}) == decoder_spec(text)
