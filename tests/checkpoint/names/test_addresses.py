"""Addresses that lead to a repository, and those that lead elsewhere."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.checkpoint.names.addresses import Address, address_of
from localfp4.errors import ModelNotFoundError

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    "name",
    [
        "org/name",
        "org/name/",
        "hf.co/org/name",
        "huggingface.co/org/name",
        "HuggingFace.co/org/name",
        "www.huggingface.co/org/name",
        f"{HUB}/org/name",
        f"{HUB}/org/name/",
        f"{HUB}/org/name?library=transformers",
        f"{HUB}/org/name#usage",
        f"{HUB}/models/org/name",
        f"{HUB}/api/models/org/name",
        f"{HUB}/org/name/tree/main",
        f"{HUB}/org/name/blob/main/config.json",
        f"{HUB}/org/name/resolve/main/model-00001-of-00002.safetensors?download=true",
        f"{HUB}/org/name/discussions/4",
        "http://hf.co/org/name:latest",
        "hf://org/name",
        "hf://models/org/name",
        "hf://org/name/config.json",
        "models/org/name",
        "org/name/tree/main",
        "models--org--name",
    ],
)
def test_all_of_these_lead_to_one_repository(name: str) -> None:
    assert address_of(name) == Address("org/name")


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("org/name@main", "main"),
        ("org/name@v1.0", "v1.0"),
        ("org/name@refs/pr/3", "refs/pr/3"),
        ("hf://org/name@v1.0", "v1.0"),
        ("hf://org/name@v1.0/config.json", "v1.0"),
        ("hf://org/name@refs/pr/3", "refs/pr/3"),
        ("hf://org/name@refs%2Fpr%2F3/config.json", "refs/pr/3"),
        (f"{HUB}/org/name/tree/v1.0", "v1.0"),
        (f"{HUB}/org/name/tree/refs%2Fpr%2F3", "refs/pr/3"),
        (f"{HUB}/org/name/blob/refs/pr/3/config.json", "refs/pr/3"),
        (f"{HUB}/org/name/commit/0123abcd", "0123abcd"),
    ],
)
def test_an_address_may_be_of_a_revision(name: str, revision: str) -> None:
    assert address_of(name) == Address("org/name", revision)


def test_a_mirror_has_addresses_of_its_own() -> None:
    for name in ("https://mirror.example/hub/org/name", "mirror.example/hub/org/name/tree/main"):
        assert address_of(name, "https://mirror.example/hub/") == Address("org/name")
    assert address_of("http://127.0.0.1:8080/org/name", "http://127.0.0.1:8080") == Address(
        "org/name"
    )
    assert address_of(f"{HUB}/org/name", "https://mirror.example") == Address("org/name")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{HUB}/datasets/org/name", "is a data set, not a model"),
        ("datasets/org/name", "is a data set, not a model"),
        ("datasets--org--name", "is a data set, not a model"),
        ("hf://datasets/org/name@v1", "is a data set, not a model"),
        (f"{HUB}/spaces/org/name", "is a space, not a model"),
        (f"{HUB}/collections/unsloth/nvfp4", "is a collection, not a model"),
        (HUB, "leads to no model"),
        (f"{HUB}/org", "leads to no model"),
        (f"{HUB}/org/na%2e%2eme", "is not like org/name"),
        (f"{HUB}/org/name/tree/..%2f..%2fetc", "is not like org/name"),
        (f"{HUB}/org/name/tree/main/onnx/fp16", "onnx/fp16 is a folder within org/name"),
        ("hf.co/org/name:Q4_K_M", "leave it out, or name a revision: org/name@REVISION"),
        ("https://example.com/org/name", "no address on https://huggingface.co"),
        ("https://huggingface.co.example.com/org/name", "no address on"),
        ("https://user@example.com/org/name", "no address on"),
        ("https://ollama.com/library/qwen3:8b", r"did you mean qwen3:8b\?"),
        ("ftp://huggingface.co.uk/org/name", "no address on"),
    ],
)
def test_others_lead_elsewhere_and_say_where(name: str, words: str) -> None:
    with pytest.raises(ModelNotFoundError, match=words):
        address_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "name",
        "a/b/c",
        "org/..",
        "../name",
        "org/name@",
        "org/name@../../main",
        "org/name@/etc",
        "org/na--me",
        "org/na%2e%2eme",
        "org/na me",
        "ørg/name",
        "org/" + "m" * 200,
        "org\\name",
    ],
)
def test_what_has_another_form_is_no_repository(name: str) -> None:
    assert address_of(name) is None


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab./@:%2ef-_ \\~?#")),
    st.sampled_from(["", "hf://", f"{HUB}/"]),
)
def test_no_name_leads_out_of_the_cache(text: str, prefix: str) -> None:
    found = None
    with suppress(ModelNotFoundError):
        found = address_of(prefix + text)
    if found is not None:
        assert found.repo_id.count("/") == 1
        assert ".." not in f"{found.repo_id}@{found.revision}"
        assert not (found.revision or "").startswith("/")
