"""Which drafters a model gets, and what is said where it cannot have them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from localfp4.checkpoint.index import open_checkpoint
from localfp4.config import EngineConfig
from localfp4.engine.drafters import Drafters, check_draft, choose_drafters, has_heads
from localfp4.errors import CheckpointError, RequestError
from localfp4.models.families import decoder_spec
from localfp4.models.opened import OpenedModel
from localfp4.models.spec import DecoderSpec


def opened(folder: Path, spec: DecoderSpec | None = None) -> OpenedModel:
    checkpoint = open_checkpoint(folder)
    return OpenedModel(spec or decoder_spec(dict(checkpoint.config)), checkpoint, ())


@pytest.fixture
def plain(sharp_model: Path) -> OpenedModel:
    return opened(sharp_model)


@pytest.fixture
def with_heads(sharp_model: Path, tmp_path: Path) -> OpenedModel:
    """The sharp model with a file that has a head's projection; only headers are looked at."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "heads"
    shutil.copytree(sharp_model, folder)
    tensors = load_file(folder / "model.safetensors") | {"mtp.fc.weight": torch.zeros(48, 96)}
    save_file(tensors, folder / "model.safetensors")
    model = opened(folder)
    return replace(model, spec=replace(model.spec, mtp=model.spec.layers[:1]))


def config(speculation: str, draft: str | None = None) -> EngineConfig:
    return EngineConfig("some/model", speculation=speculation, draft_model=draft)


def test_what_each_setting_takes(plain: OpenedModel, with_heads: OpenedModel) -> None:
    def chosen(speculation: str, model: OpenedModel, draft: str | None = None) -> Drafters:
        return choose_drafters(config(speculation, draft), model, on_gpu=True)

    assert chosen("auto", with_heads) == Drafters(look_up=True, model="mtp")
    assert chosen("auto", plain) == chosen("ngram", with_heads) == Drafters(look_up=True)
    assert chosen("mtp", with_heads) == Drafters(model="mtp")
    assert chosen("draft", plain, "small") == Drafters(look_up=True, model="draft")
    assert chosen("off", with_heads) == Drafters()
    assert chosen("off", with_heads).speculator() is None
    assert chosen("ngram", plain).speculator() is not None
    assert not has_heads(replace(plain, spec=with_heads.spec)), "its files have none"


def test_a_cpu_runs_heads_only_if_asked_to(with_heads: OpenedModel) -> None:
    automatic = choose_drafters(config("auto"), with_heads, on_gpu=False)
    assert automatic == Drafters(look_up=True)
    assert automatic.loaded_spec(with_heads.spec).mtp == ()
    asked = choose_drafters(config("mtp"), with_heads, on_gpu=False)
    assert asked.loaded_spec(with_heads.spec).mtp == with_heads.spec.mtp


def test_heads_that_a_family_lacks_are_refused(plain: OpenedModel) -> None:
    with pytest.raises(RequestError, match=r"models of type qwen3 lack the heads .* ngram"):
        choose_drafters(config("mtp"), plain, on_gpu=True)


def test_heads_that_were_left_out_are_named(plain: OpenedModel, with_heads: OpenedModel) -> None:
    model = replace(plain, spec=with_heads.spec)
    with pytest.raises(RequestError, match=r"'some/model' .* its files leave out the heads"):
        choose_drafters(config("mtp"), model, on_gpu=True)


def changed_tokenizer(model: OpenedModel, folder: Path, number: int | None) -> OpenedModel:
    """Return the model with other strings for one token, and with a special token more."""
    shutil.copytree(model.checkpoint.folder, folder)
    path = folder / "tokenizer.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    vocab = described["model"]["vocab"]
    described["added_tokens"].append({"id": 900, "content": "<|new|>", "special": True})
    if number is not None:
        [old] = [token for token, place in vocab.items() if place == number]
        vocab["other"] = vocab.pop(old)
    path.write_text(json.dumps(described), encoding="utf-8")
    return opened(folder)


def test_the_same_vocabulary_is_asked_for(plain: OpenedModel, tmp_path: Path) -> None:
    check_draft("small", plain, plain)
    check_draft("small", changed_tokenizer(plain, tmp_path / "more", None), plain)
    other = changed_tokenizer(plain, tmp_path / "other", 65)
    with pytest.raises(RequestError, match=r"'small' has another vocabulary \(token 65 is 'other'"):
        check_draft("small", other, plain)


def test_without_tokenizers_sizes_must_agree(plain: OpenedModel, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(plain.checkpoint.folder, folder)
    (folder / "tokenizer.json").unlink()
    bare = opened(folder)
    check_draft("small", bare, plain)
    wider = replace(bare, spec=replace(bare.spec, vocab_size=300))
    with pytest.raises(RequestError, match=r"300 tokens instead of 272"):
        check_draft("small", wider, plain)
    (folder / "tokenizer.json").write_text('{"model": {}}', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        check_draft("small", bare, plain)
