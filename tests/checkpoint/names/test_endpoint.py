"""The address of the hub: wrong ones are told, and passwords in it are not."""

import pytest

from localfp4.checkpoint.hub import locate
from localfp4.checkpoint.names.endpoint import shown_address
from localfp4.checkpoint.store.refusals import refusal
from localfp4.errors import ModelNotFoundError


@pytest.mark.parametrize("address", ["http://me:geheim@host:999999", "http://me:geheim@[::1"])
def test_an_address_that_is_none_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ModelNotFoundError, match="which is no address; set it to one such") as told:
        locate("org/model")
    assert "geheim" not in str(told.value)


def test_passwords_of_a_mirror_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = "https://me:gehe@im@mirror.example/hf"
    assert shown_address(mirror) == "https://mirror.example/hf"
    assert shown_address("https://mirror.example/a@b") == "https://mirror.example/a@b"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", mirror)
    for error in (TimeoutError(), OSError(f"failed for {mirror}/org/model?X-Amz-Signature=5a5a")):
        told = str(refusal("org/model", "org/model", error))
        assert "mirror.example/" in told
        assert "gehe" not in told
        assert "5a5a" not in told
    monkeypatch.setenv("HF_ENDPOINT", mirror)
    with pytest.raises(
        ModelNotFoundError, match=r"no address on https://mirror\.example/hf, where"
    ):
        locate("https://elsewhere.example/org/model")
    assert locate("https://mirror.example/hf/org/model")
