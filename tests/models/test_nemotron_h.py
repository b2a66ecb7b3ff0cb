"""Nemotron-H beyond logits: what its weights are called and do, and its configs over the years."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.errors import CheckpointError, UnsupportedModelError
from localfp4.llm import LLM
from localfp4.models.cache_bytes import kv_bytes_per_token, state_bytes
from localfp4.models.families import decoder_spec
from localfp4.models.spec import AttentionSpec, DecoderSpec, MambaSpec, MlpSpec, MoeSpec
from tests.models import tiny

IDS = tiny.token_ids(70)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    model = tiny.build("nemotron_h")
    return model, tiny.save(model, tmp_path_factory.mktemp("nemotron_h") / "model")


def difference(ours: LLM, model: Any) -> float:
    return float((ours.logits(IDS) - tiny.logits_of(model, IDS)).abs().max())


@pytest.mark.parity
@pytest.mark.parametrize(
    "weight", ["A_log", "D", "dt_bias", "conv1d.bias", "conv1d.weight", "norm.weight"]
)
def test_every_weight_of_the_recurrence_counts(
    built: tuple[Any, Path], tmp_path: Path, weight: str
) -> None:
    model, folder = built
    tensors = tiny.stored(folder)
    tensors[f"backbone.layers.0.mixer.{weight}"] += 0.02
    with tiny.open_llm(tiny.restored(folder, tmp_path / "model", tensors)) as ours:
        assert difference(ours, model) > 10 * tiny.TOLERANCE


@pytest.mark.parity
def test_inside_a_multimodal_wrapper(built: tuple[Any, Path], tmp_path: Path) -> None:
    model, folder = built
    wrapped = {f"language_model.{name}": t for name, t in tiny.stored(folder).items()}
    wrapped["vision_model.patch_embed.weight"] = torch.zeros(2, 2)
    with tiny.open_llm(tiny.restored(folder, tmp_path / "model", wrapped)) as ours:
        assert difference(ours, model) <= tiny.TOLERANCE


@pytest.mark.parity
def test_transformers_raises_short_steps_and_this_does_not(tmp_path: Path) -> None:
    """At its default floor of a thousandth the difference is small; without it there is none."""
    short = {"time_step_floor": 1e-4, "time_step_max": 2e-3, "time_step_min": 1e-3}
    model = tiny.build_from(tiny.complete(tiny.CONFIGS["nemotron_h-dense"] | short))
    tiny.randomise(model)
    with tiny.open_llm(tiny.save(model, tmp_path / "model")) as ours:
        assert 10 * tiny.TOLERANCE < difference(ours, model) < 0.02
        for layer in (model.model.layers[0], model.model.layers[2]):
            layer.mixer.time_step_limit = (0.0, math.inf)
        assert difference(ours, model) <= tiny.TOLERANCE


def spec(**changes: Any) -> DecoderSpec:
    """Read a config; ``...`` removes a setting."""
    listed = {"hybrid_override_pattern": "ME*-", "num_hidden_layers": 4}
    return decoder_spec(tiny.complete(tiny.CONFIGS["nemotron_h"] | listed | changes))


@pytest.mark.parametrize(
    "listed",
    [
        {"layers_block_type": ["mamba", "moe", "attention", "mlp"]},
        {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"]},
        {"layer_types": ["linear_attention", "moe", "full_attention", "mlp"]},
    ],
)
def test_lists_and_patterns_say_the_same(listed: dict[str, Any]) -> None:
    assert spec(hybrid_override_pattern=..., **listed) == spec(num_hidden_layers=...)


def test_what_the_blocks_are() -> None:
    mamba, moe, attention, mlp = spec().layers
    assert isinstance(mamba.mixer, MambaSpec)
    assert mamba.mixer.state.conv == (8 * 16 + 2 * 2 * 16, 2)
    assert mamba.mixer.state.recurrent == (8, 16, 16)
    assert isinstance(attention.mixer, AttentionSpec)
    assert attention.mixer.rope.kind == "none"
    assert isinstance(moe.feed_forward, MoeSpec)
    assert moe.feed_forward.shared == MlpSpec(48, "relu2")
    assert isinstance(mlp.feed_forward, MlpSpec)
    assert (moe.mixer, mlp.mixer, mamba.feed_forward, attention.feed_forward) == (None,) * 4
    assert spec().norm.wide
    assert (
        spec(head_dim=..., attention_head_dim=32).layers[2].mixer
        == spec(head_dim=32).layers[2].mixer
    )


def test_nemotron_3_nano_carries_49_megabytes_a_sequence() -> None:
    """As published: 52 blocks, 23 of them with 64 states of 64 x 128 and 6144 channels of taps."""
    nano = spec(
        hybrid_override_pattern="MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
        num_hidden_layers=52,
        mamba_num_heads=64,
        mamba_head_dim=64,
        n_groups=8,
        ssm_state_size=128,
        conv_kernel=4,
        num_attention_heads=32,
        head_dim=128,
    )
    assert [type(layer.mixer) for layer in nano.layers].count(MambaSpec) == 23
    assert [type(layer.feed_forward) for layer in nano.layers].count(MoeSpec) == 23
    assert state_bytes(nano, "bfloat16") == 23 * (64 * 64 * 128 * 4 + 6144 * 3 * 2)
    assert kv_bytes_per_token(nano, "bfloat16") == 6 * 2 * 2 * 128 * 2


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (..., (0.0, math.inf)),
        ([0.0, math.inf], (0.0, math.inf)),
        ([0, {"__float__": "Infinity"}], (0.0, math.inf)),
        ([0.001, "Infinity"], (0.001, math.inf)),
        ([0.0, 1e30], (0.0, 1e30)),
    ],
)
def test_every_spelling_of_the_limits(limit: Any, expected: tuple[float, float]) -> None:
    mixer = spec(time_step_limit=limit).layers[0].mixer
    assert isinstance(mixer, MambaSpec)
    assert (mixer.smallest_step, mixer.largest_step) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hybrid_override_pattern": "MEX*"}, "blocks of type 'X' are not supported"),
        ({"hybrid_override_pattern": ...}, "has no 'hybrid_override_pattern'"),
        ({"layers_block_type": ["mamba", "rwkv"]}, "blocks of type 'rwkv'"),
        ({"num_hidden_layers": 5}, "4 blocks are listed, the model has 5"),
        ({"mlp_hidden_act": "silu"}, "mlp_hidden_act = 'silu' is not supported"),
        ({"mamba_hidden_act": "gelu"}, "mamba_hidden_act = 'gelu' is not supported"),
        ({"sliding_window": 64}, "sliding_window = 64 is not supported"),
        ({"mlp_bias": True}, "mlp_bias = True is not supported"),
        ({"time_step_limit": [0.2, 0.1]}, "'time_step_limit' must be two numbers"),
        ({"time_step_limit": [0.0, "long"]}, "'time_step_limit' must be two numbers"),
        ({"time_step_limit": [0.1]}, "'time_step_limit' must be two numbers"),
        ({"n_group": 3}, "cannot visit 3 of 8 experts in 1 of 3 groups"),
        ({"n_group": 8, "topk_group": 4}, "cannot visit 3 of 8 experts in 4 of 8 groups"),
        ({"num_experts_per_tok": 9}, "cannot visit 9 of 8 experts"),
        ({"mamba_num_heads": ...}, "has no 'mamba_num_heads'"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((CheckpointError, UnsupportedModelError), match=message):
        spec(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ssm_state_size": 32}, r"shape \[328, 64\], but config.json asks for \[392, 64\]"),
        ({"conv_kernel": 4}, r"conv1d.weight' has shape \[192, 1, 3\]"),
        ({"n_groups": 3}, "Mamba-2 layers of these sizes are not supported: heads must be"),
    ],
)
def test_weights_that_do_not_fit(
    built: tuple[Any, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = tiny.edited(built[1], tmp_path / "model", **changes)
    with pytest.raises((CheckpointError, UnsupportedModelError), match=message):
        tiny.open_llm(folder)


def test_the_exported_config_is_strange_enough(built: tuple[Any, Path]) -> None:
    """What the tests read is what transformers writes today."""
    config = json.loads((built[1] / "config.json").read_text(encoding="utf-8"))
    assert config["time_step_limit"] == [0.0, {"__float__": "Infinity"}]
    assert "num_hidden_layers" not in config
