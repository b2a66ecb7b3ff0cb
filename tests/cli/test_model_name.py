"""What users call models on the command line: names of their own, and what is told of others."""

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from localfp4.checkpoint.names.spelling import own_name
from localfp4.cli.entry import run_command_line
from localfp4.cli.model_name import known_names, meant
from localfp4.errors import ModelNotFoundError, UnsupportedModelError
from localfp4.settings import SettingsError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('[aliases]\nmine = "./here"\nbig = "Qwen3:32B"\nbroken = "unsloth/x-GGUF"\n')
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALFP4_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("mine", "./here"),
        (" Mine ", "./here"),
        ("big", "qwen3:32b"),
        ("Qwen3 8B", "qwen3:8b"),
        ("https://hf.co/org/model", "org/model"),
        ("demo", "demo"),
        ("synthetic:qwen3-8b:2", "synthetic:qwen3-8b:2"),
    ],
)
def test_what_is_meant(
    typed: str, name: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meant(typed) == name
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("typed", ["qwen3", "qwen3:latest", "qwen3:8b-q4_K_M"])
def test_what_a_name_was_taken_for_is_told(
    typed: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meant(typed) == "qwen3:8b"
    told = capsys.readouterr().err
    assert told == f"note: {typed} is taken for qwen3:8b: nvidia/Qwen3-8B-NVFP4 (NVFP4)\n"


def test_a_folder_of_that_name_is_not_taken_for_anything(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "qwen3").mkdir()
    assert meant("qwen3") == "qwen3"
    assert capsys.readouterr().err == ""


def test_errors_say_whose_name_it_is(config: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"broken of \[aliases\] is 'unsloth/x-GGUF'"):
        meant("broken")
    with pytest.raises(ModelNotFoundError, match=r"Did you mean mine\?"):
        meant("minne")
    config.write_text("[aliases\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"config.toml"):
        meant("demo")


def test_names_to_complete_are_known_whatever_the_configuration_says(config: Path) -> None:
    names = known_names()
    assert names[:4] == ["demo", "mine", "big", "broken"]
    assert {"qwen3:8b", "gpt-oss:20b"} < set(names)
    assert len(set(names)) == len(names)
    config.write_text("[aliases\n", encoding="utf-8")
    assert known_names()[:1] == ["demo"]


def test_own_names_are_found_whatever_their_case() -> None:
    aliases = {"Mine": "a/b", "mine": "c/d"}
    assert own_name("mine", aliases) == "mine"
    assert own_name("MINE", aliases) == "Mine"
    assert own_name("other", aliases) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "broken"],
        ["fit", "demo", "--draft", "broken"],
        ["show", "broken"],
        ["run", "broken", "Hello"],
        ["chat", "--plain", "broken"],
        ["serve", "broken"],
        ["bench", "demo", "broken"],
        ["bench", "peers", "broken"],
        ["bench", "peers", "demo", "--bf16", "broken"],
        ["eval", "broken"],
        ["eval", "demo", "--reference", "broken"],
        ["quantize", "broken"],
    ],
)
def test_every_command_knows_the_users_names(
    arguments: list[str],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(), encoding="utf-8"))
    assert run_command_line(arguments) == 2
    assert "broken of [aliases] is 'unsloth/x-GGUF'" in capsys.readouterr().err
