"""The table of short names, and how a short name may be spelled."""

import re
from itertools import pairwise

import pytest

from localfp4.checkpoint.names.addresses import Address, address_of
from localfp4.checkpoint.names.aliases import (
    ALIASES,
    alias_named,
    alias_of,
    alias_within,
    is_spelled_out,
    similar_alias,
    sizes_of,
)
from localfp4.checkpoint.names.spelling import squashed

WEIGHTS = {"NVFP4", "MXFP4", "FP8", "INT4", "BF16"}


def test_every_row_says_which_repository_where_it_was_seen_and_when() -> None:
    for alias in ALIASES:
        assert re.fullmatch(r"[a-z0-9.-]+:[a-z0-9.-]+", alias.name)
        assert address_of(alias.repo_id) == Address(alias.repo_id)
        assert alias.weights in WEIGHTS
        assert alias.source.startswith("https://")
        assert alias.checked is not None
        assert alias.size_bytes is None or 1e8 < alias.size_bytes < 1e11


def test_no_two_rows_share_a_repository_or_a_spelling() -> None:
    repositories = [alias.repo_id.lower() for alias in ALIASES]
    assert len(set(repositories)) == len(repositories)
    spellings = [squashed(name) for alias in ALIASES for name in (alias.name, *alias.also)]
    assert len(set(spellings)) == len(spellings)


def test_a_family_has_one_default_and_stands_together() -> None:
    families = [alias.family for alias in ALIASES]
    assert len(set(families)) == sum(alias.is_default for alias in ALIASES)
    changes = sum(one != after for one, after in pairwise(families))
    assert changes == len(set(families)) - 1


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("qwen3:8b", "qwen3:8b"),
        ("Qwen3:8B", "qwen3:8b"),
        ("qwen3-8b", "qwen3:8b"),
        ("qwen3_8b", "qwen3:8b"),
        ("Qwen3 8B", "qwen3:8b"),
        ("qwen3:8b:latest", "qwen3:8b"),
        ("qwen3:8b-q4_K_M", "qwen3:8b"),
        ("qwen3:8b-iq3_xxs", "qwen3:8b"),
        ("Qwen3-8B-NVFP4", "qwen3:8b"),
        ("qwen3", "qwen3:8b"),
        ("QWEN3:latest", "qwen3:8b"),
        ("qwen3:30b", "qwen3:30b-a3b"),
        ("qwen3.6:35b", "qwen3.6:35b-a3b"),
        ("llama3.1:8b-instruct-q4_K_M", "llama3.1:8b"),
        ("Llama-3.1-8B-Instruct", "llama3.1:8b"),
        ("gemma3:12b-it-qat", "gemma3:12b"),
        ("gemma-4-12B-it", "gemma4:12b"),
        ("gpt-oss", "gpt-oss:20b"),
        ("gptoss20b", "gpt-oss:20b"),
        ("phi-4", "phi4:14b"),
        ("mistral-small", "mistral-small3.2:24b"),
        ("glm-4.7-flash", "glm-4.7-flash:30b-a3b"),
        ("nemotron-3-nano:30b", "nemotron3-nano:30b-a3b"),
    ],
)
def test_a_model_goes_by_many_spellings(typed: str, name: str) -> None:
    found = alias_named(typed)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "typed",
    ["", "8b", "qwen", "qwen3:9b", "qwen3:8b-fp16", "qwen3:8b-q8_0", "qwen3/8b", "./qwen3:8b"],
)
def test_other_names_stand_for_nothing(typed: str) -> None:
    assert alias_named(typed) is None


def test_a_family_or_another_version_does_not_spell_a_model_out() -> None:
    assert is_spelled_out("Qwen3 8B")
    assert is_spelled_out("qwen3:30b")
    assert not is_spelled_out("qwen3")
    assert not is_spelled_out("qwen3:8b-q4_K_M")


@pytest.mark.parametrize(
    ("longer", "name"),
    [
        ("unsloth/Qwen3-8B-128K-GGUF", "qwen3:8b"),
        ("bartowski/Qwen_Qwen3-14B-GGUF", "qwen3:14b"),
        ("mlx-community/Qwen3-8B-4bit", "qwen3:8b"),
        ("unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF", "qwen3-coder:30b-a3b"),
        ("mistralai_Mistral-Small-3.2-24B-Instruct-2506", "mistral-small3.2:24b"),
        ("org/something-else", None),
    ],
)
def test_a_longer_name_is_about_a_model(longer: str, name: str | None) -> None:
    found = alias_within(longer)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("qwen3:8", "qwen3:8b"),
        ("qwen3:8b-fp16", "qwen3:8b"),
        ("gemma4:e4", "gemma4:e4b"),
        ("gpt-os:20b", "gpt-oss:20b"),
        ("nvidia/Qwen3-8B-NVPF4", "qwen3:8b"),
        ("Meta-Llama-3.1-8B-Instruct", "llama3.1:8b"),
        ("nonsense", None),
        ("m" * 5000, None),
    ],
)
def test_what_was_probably_meant(typed: str, name: str | None) -> None:
    assert similar_alias(typed) == name


def test_families_are_found_by_a_member_and_by_a_name() -> None:
    names = sizes_of("Qwen3:70b")
    assert names.index("qwen3:4b") < names.index("qwen3:8b") < names.index("qwen3:14b")
    assert sizes_of("nonsense:7b") == ()
    qwen = alias_of("nvidia/Qwen3-8B-NVFP4")
    assert qwen is not None
    assert (qwen.family, qwen.size_bytes) == ("qwen3", 6_396_932_352)
