"""Everything a user can get wrong before a token comes: one sentence, exit code 2."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "checkpoints" / "m_qwen3"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A sound checkpoint without a tokenizer, to be damaged."""
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", ""], "empty"),
        (["run", "demo", " \n "], "empty"),
        (["run", "-"], "empty"),
        (["run"], "empty"),
        (["run", "demo", "what", "is"], "quotes"),
        (["run", "no such model", "hi"], "no such model"),
        (["run", "", "hi"], "model"),
        (["run", "weights.gguf", "hi"], "GGUF"),
        (["run", "demoo", "hi"], "demo?"),
        (["run", "a\x1b]0;title\x07/..", "hi"], "title"),
        (["run", "demo", "hi", "--ctx", "0"], "--ctx"),
        (["run", "demo", "hi", "--vram-limit", "inf"], "--vram-limit"),
        (["run", "demo", "hi", "--kv-ram", "nan"], "--kv-ram"),
        (["fit", "demo", "--gpu", "4090", "--ram", "inf"], "--ram"),
        (["run", "demo", "hi", "--temperature", "-1"], "temperature"),
        (["run", "demo", "hi", "--temperature", "nan"], "temperature"),
        (["run", "demo", "hi", "--top-p", "0"], "top_p"),
        (["run", "demo", "hi", "--dtype", "int3"], "--dtype"),
        (["chat", "no such model"], "no such model"),
        (["chat", "demo", "--min-p", "2"], "min_p"),
        (["chat", "a", "b"], "argument"),
    ],
)
def test_refused_without_loading_torch(
    arguments: list[str], words: str, real_cli: "CommandLine"
) -> None:
    """A module that cannot be imported stands in for torch, so that loading it would show."""
    blocked = real_cli.home / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise SystemExit(77)", encoding="utf-8")
    path = f"{blocked}:{real_cli.environment()['PYTHONPATH']}"
    real_cli.refuses(*arguments, words=words, PYTHONPATH=path)


def _refused_in_process(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the real command here, where torch is imported only once; return its sentence."""
    from localfp4.cli.entry import run_command_line

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert run_command_line(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    # Models of random numbers make no sense, which is noted before.
    [sentence] = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert sentence.startswith("✗ ")
    return sentence


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _corrupt_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:8] + b"}" + data[9:])


def _unsupported_type(folder: Path) -> None:
    _change_config(folder, model_type="mamba9")


def _change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_no_config, "config.json"),
        (_no_weights, "safetensors"),
        (_truncated, "model.safetensors"),
        (_corrupt_header, "model.safetensors"),
        (_unsupported_type, "mamba9"),
    ],
)
def test_a_checkpoint_that_cannot_be_run(
    damage: Callable[[Path], None],
    words: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(checkpoint)
    assert words in _refused_in_process(["run", str(checkpoint), "hi"], monkeypatch, capsys)


def test_text_without_a_tokenizer(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = _refused_in_process(["run", str(checkpoint), "hi"], monkeypatch, capsys)
    assert "tokenizer" in sentence


@pytest.mark.parametrize("device", ["toaster", "xpu"])
def test_a_device_that_is_not_there(
    device: str,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["run", str(checkpoint), "hi", "--device", device]
    assert device in _refused_in_process(arguments, monkeypatch, capsys)


def test_a_prompt_longer_than_the_context(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_byte_tokenizer(checkpoint)
    arguments = ["run", str(checkpoint), "word " * 200, "--ctx", "64"]
    sentence = _refused_in_process(arguments, monkeypatch, capsys)
    assert "1000" in sentence
    assert "64" in sentence or "63" in sentence


def add_byte_tokenizer(folder: Path) -> None:
    """Give the 256-token fixture a tokenizer of one token per byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
