"""Configs that cannot run: each is refused in one sentence that names the setting; torch-free."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import CheckpointError, UnsupportedModelError, UserError
from localfp4.models.families import FAMILIES, decoder_spec
from tests.models.configs import BASE, LLAMA3, MOE, spec

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "gemma4"}, "'gemma4' are not supported yet; .* llama, qwen2, qwen3, qwen3_moe"),
    ({"model_type": "../llama"}, "not supported yet"),
    ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
    ({"hidden_act": "gelu_pytorch_tanh", **MOE}, "hidden_act"),
    ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor = 0\.5 is not supported"),
    ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope_type 'longrope'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic'"),
    ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "each type of layer"),
    ({"rope_scaling": {"type": "mrope", "mrope_section": [1, 2]}}, "rope_type 'mrope'"),
    (
        {
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 8,
            "layer_types": ["chunked_attention"] * 4,
        },
        "chunked_attention",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_not_built_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        spec(**changes)


BAD_COUNTS: list[Any] = [0, -1, 2.5, "64", True, 2**31, []]
BAD_NUMBERS: list[Any] = [0, -1e-5, float("nan"), float("inf"), "1e-5", True]

WRONG: list[tuple[dict[str, Any], str]] = [
    *(
        ({key: ...}, f"has no '{key}'")
        for key in BASE
        if key not in ("hidden_act", "rms_norm_eps", "num_key_value_heads")
    ),
    *(({"vocab_size": bad}, "'vocab_size' must be a positive whole number") for bad in BAD_COUNTS),
    *(({"rms_norm_eps": bad}, "'rms_norm_eps' must be a positive number") for bad in BAD_NUMBERS),
    ({"num_hidden_layers": 2**30}, "layers are more than any model has"),
    ({"model_type": ...}, "has no 'model_type'"),
    ({"model_type": 3}, "model_type"),
    ({"num_key_value_heads": 3}, "4 heads .* over 3 key-value heads"),
    ({"head_dim": 15}, "width 15"),
    ({"num_attention_heads": 128, "num_key_value_heads": 128}, "width 0"),
    ({"attention_bias": "false"}, "attention_bias"),
    ({"rope_scaling": "yarn"}, "rope settings"),
    ({"rope_scaling": {"rope_type": 3}}, "rope_type"),
    ({"rope_theta": "1e6"}, "rope_theta"),
    ({"rope_theta": 0}, "rope_theta"),
    ({"rope_theta": 1}, "rope_theta"),
    ({"rope_scaling": {"rope_type": "linear"}}, "'linear' needs 'factor'"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor"),
    ({"rope_scaling": {"rope_type": "linear", "factor": "two"}}, "factor"),
    ({"rope_scaling": LLAMA3 | {"low_freq_factor": None}}, "needs 'low_freq_factor'"),
    ({"rope_scaling": LLAMA3 | {"high_freq_factor": 1.0}}, "high_freq_factor"),
    ({"rope_scaling": LLAMA3 | {"original_max_position_embeddings": "8k"}}, "original_max"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": "x"}}, "beta_fast"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "attention_factor": []}}, "attention_f"),
    (MOE | {"num_experts_per_tok": 9}, "cannot visit 9 of 8 experts"),
    (MOE | {"num_experts": ...}, "has no 'num_experts'"),
    (MOE | {"mlp_only_layers": 2}, "mlp_only_layers"),
    (MOE | {"mlp_only_layers": [[1]]}, "mlp_only_layers"),
    (MOE | {"decoder_sparse_step": 0}, "decoder_sparse_step"),
    (
        {
            "model_type": "qwen3",
            "use_sliding_window": True,
            "sliding_window": 8,
            "layer_types": ["full_attention"] * 3,
        },
        "lists 3 layers, the model has 4",
    ),
    (
        {
            "model_type": "qwen3",
            "use_sliding_window": True,
            "sliding_window": 8,
            "layer_types": 4,
        },
        "layer_types",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_makes_no_sense_is_said_in_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as refused:
        spec(**changes)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "silu", "default", "yarn", "llama3", "linear", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROPE_KEYS = ("rope_type", "factor", "rope_theta", "low_freq_factor", "beta_fast", "mscale")
KEYS = (
    *(key for key in BASE if key != "num_hidden_layers"),
    *("head_dim", "rope_theta", "use_sliding_window", "sliding_window", "layer_types"),
    *("mlp_only_layers", "decoder_sparse_step", "attention_bias", "num_experts", "text_config"),
    *("original_max_position_embeddings", "partial_rotary_factor", "max_window_layers"),
)


@settings(max_examples=150)
@given(
    family=st.sampled_from(FAMILIES),
    junk=st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=3),
    rope_junk=st.dictionaries(st.sampled_from(ROPE_KEYS), JUNK, max_size=4) | JUNK,
)
def test_junk_never_ends_in_a_traceback(family: str, junk: dict[str, Any], rope_junk: Any) -> None:
    config = BASE | MOE | {"model_type": family, "rope_scaling": rope_junk} | junk
    message = ""
    try:
        decoder_spec(config)
    except UserError as error:
        message = str(error)
    assert message.isprintable(), "escape sequences of a file must not reach a terminal"
