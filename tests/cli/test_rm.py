"""``localfp4 rm``: what it deletes, what it says, and what it refuses."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localfp4.cli.entry import run_command_line
from localfp4.cli.serve.listing import open_registry
from localfp4.server.registry.registry import RunningServer
from tests.checkpoint.store.cached import FIRST, SECOND, put, put_part, store_of, use_cache
from tests.cli.conftest import REAL_CLI, CommandLine
from tests.cli.terminal import in_terminal

MODEL = {"config.json": b"{}", "model.safetensors": b"w" * 1500}

Rm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = use_cache(tmp_path / "hub", monkeypatch)
    put(folder, "nvidia/Qwen3-8B-NVFP4", MODEL)
    put(folder, "org/m", MODEL)
    put(folder, "org/m", MODEL, commit=SECOND, refs=("v1",))
    return folder


@pytest.fixture
def rm(cache: Path, capsys: pytest.CaptureFixture[str]) -> Rm:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command_line(["rm", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_several_are_deleted_by_any_of_their_names(rm: Rm, cache: Path) -> None:
    assert rm("qwen3:8b", "hf.co/org/m", "org/m", "--yes") == (
        0,
        "deleted nvidia/Qwen3-8B-NVFP4: 1.5 KB are free again\n"
        "deleted org/m: 1.5 KB are free again\n",
        "",
    )
    assert not store_of(cache, "nvidia/Qwen3-8B-NVFP4").exists()
    assert not store_of(cache, "org/m").exists()


def test_a_version_and_a_folder_of_the_cache_stand_for_the_same(rm: Rm, cache: Path) -> None:
    assert rm("org/m@v1", "--yes")[:2] == (0, "deleted org/m@v1: 0 B are free again\n")
    left = store_of(cache, "org/m") / "snapshots" / FIRST
    assert left.is_dir()
    assert rm(str(left), "--yes")[0] == 0
    assert not store_of(cache, "org/m").exists()


def test_one_that_is_not_here_keeps_the_others(rm: Rm, cache: Path) -> None:
    code, out, err = rm("org/m", "org/n", "--yes")
    assert (code, out) == (2, "")
    assert err == "✗ org/n is not on this computer; did you mean org/m?\n"
    assert store_of(cache, "org/m").exists()


def test_unfinished_downloads_are_deleted_alone(rm: Rm, cache: Path) -> None:
    assert rm("--unfinished", "--yes") == (
        0,
        "",
        "note: no download has broken off, so nothing was deleted.\n",
    )
    put_part(cache, "org/m", 300)
    put_part(cache, "org/part", 2000)
    code, out, _ = rm("--unfinished", "--yes")
    assert (code, set(out.splitlines())) == (
        0,
        {"deleted org/m: 300 B are free again", "deleted org/part: 2.0 KB are free again"},
    )
    assert (store_of(cache, "org/m") / "snapshots" / FIRST).is_dir()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name the models to delete, or say --unfinished"),
        (["demo"], "demo is a part of localfp4"),
        (["synthetic:qwen3-8b"], "is made up"),
        (["org/m"], "Nobody can be asked whether to delete for good; say --yes"),
        (["org/m@v9", "--yes"], "there are @main, @v1"),
        (["no such model"], "was not found"),
    ],
)
def test_what_is_refused_is_one_sentence(
    rm: Rm, cache: Path, arguments: list[str], words: str
) -> None:
    code, out, err = rm(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("✗ ")
    assert words in err
    assert store_of(cache, "org/m").exists()


def test_folders_of_the_user_are_never_deleted(rm: Rm, tmp_path: Path) -> None:
    own = tmp_path / "my models"
    own.mkdir()
    code, _, err = rm(str(own), "--yes")
    assert (code, err) == (2, f"✗ {own} is no model; name one that `localfp4 ls` lists.\n")
    (own / "config.json").write_text("{}")
    code, _, err = rm(str(own), "--yes")
    assert code == 2
    assert f"`rm -r '{own}'` does" in err
    assert (own / "config.json").exists()


@pytest.mark.parametrize(("served", "source"), [("big", "org/m"), ("org/m", "")])
def test_what_a_server_has_loaded_is_not_deleted(
    rm: Rm, cache: Path, served: str, source: str
) -> None:
    server = RunningServer(os.getpid(), served, "http://127.0.0.1:9", "localfp4", 0.0, source)
    with open_registry().member(server):
        code, _, err = rm("org/m", "--yes")
        assert (code, err) == (
            2,
            f"✗ org/m is served at http://127.0.0.1:9; end that first: `localfp4 stop "
            f"{os.getpid()}`.\n",
        )
        assert rm("qwen3:8b", "--yes")[0] == 0  # which is another
    assert rm("org/m", "--yes")[0] == 0


def test_windows_is_told_a_command_that_reads_nothing_into_a_path(
    rm: Rm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "a$b's [1]"
    own.mkdir()
    (own / "config.json").write_text("{}")
    monkeypatch.setattr("localfp4.cli.rm.sys.platform", "win32")
    _, _, err = rm(str(own), "--yes")
    assert f"""`Remove-Item -Recurse -LiteralPath '{tmp_path / "a$b''s [1]"}'` does.""" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("answer", "words", "stays"),
    [
        (b"\n", b"nothing was deleted.", True),
        pytest.param(b"y\n", b"deleted org/m: 1.5 KB", False, marks=pytest.mark.slow),
    ],
)
def test_in_a_terminal_it_asks_and_only_yes_deletes(
    tmp_path: Path, answer: bytes, words: bytes, stays: bool
) -> None:
    store = put(tmp_path / "hf" / "hub", "org/m", MODEL).parents[1]
    with in_terminal(CommandLine(tmp_path, tmp_path, REAL_CLI), "rm", "org/m") as (
        process,
        terminal,
    ):
        terminal.wait_for(b"Delete org/m for good (1.5 KB)? [y/N]: ")
        assert store.exists()
        terminal.type(answer)
        assert words in terminal.rest()
        assert process.wait() == 0
    assert store.exists() == stays
