"""The shipped checkpoints: small enough, complete, and a tokenizer that writes any text."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer

from recipe.model import Shape, parameter_count
from recipe.tokenizer import SPECIALS

FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
)
LIMITS = {"localfp4_demo": 8_000_000, "bf16": 25_000_000}


@pytest.fixture(scope="module")
def tokenizer(demo_assets: Path) -> Tokenizer:
    return Tokenizer.from_file(str(demo_assets / "localfp4_demo" / "tokenizer.json"))


@pytest.mark.parametrize("name", LIMITS)
def test_checkpoints_are_complete_and_small(demo_assets: Path, name: str) -> None:
    folder = demo_assets / name
    assert all((folder / file).is_file() for file in FILES)
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) <= LIMITS[name]


def test_the_original_has_every_parameter(demo_assets: Path) -> None:
    with safe_open(demo_assets / "bf16" / "model.safetensors", "pt") as file:
        sizes = [file.get_tensor(name).numel() for name in file.keys()]  # noqa: SIM118
    assert sum(sizes) == parameter_count(Shape())


def test_merged_matrices_share_a_global_scale(demo_assets: Path) -> None:
    with safe_open(demo_assets / "localfp4_demo" / "model.safetensors", "pt") as file:
        layer = "model.layers.0."
        for group in (
            ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            ("mlp.gate_proj", "mlp.up_proj"),
        ):
            scales = {file.get_tensor(f"{layer}{n}.weight_global_scale").item() for n in group}
            assert len(scales) == 1


def test_the_model_stops_at_its_marks(demo_assets: Path, tokenizer: Tokenizer) -> None:
    generation = json.loads(
        (demo_assets / "localfp4_demo" / "generation_config.json").read_text("utf-8")
    )
    assert generation["eos_token_id"] == [
        tokenizer.token_to_id("<|im_end|>"),
        tokenizer.token_to_id("<|endoftext|>"),
    ]


def test_the_vocabulary_is_as_large_as_the_embedding(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == Shape().vocab
    assert [tokenizer.token_to_id(mark) for mark in SPECIALS] == [0, 1, 2]


@given(st.text(max_size=60))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = _cached_tokenizer()
    if any(mark in text for mark in SPECIALS):
        return
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@given(st.integers(0, 10**6))
def test_digits_are_tokens_of_their_own(number: int) -> None:
    assert len(_cached_tokenizer().encode(str(number)).ids) == len(str(number))


_TOKENIZERS: list[Tokenizer] = []


def _cached_tokenizer() -> Tokenizer:
    if not _TOKENIZERS:
        file = (
            Path(__file__).resolve().parents[2]
            / "assets"
            / "demo"
            / "localfp4_demo"
            / "tokenizer.json"
        )
        _TOKENIZERS.append(Tokenizer.from_file(str(file)))
    return _TOKENIZERS[0]
