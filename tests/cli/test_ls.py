"""``localfp4 ls``: the tables and objects that it prints of a cache made by hand."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from localfp4.backend.installed import InstalledModel
from localfp4.checkpoint.display import size
from localfp4.checkpoint.names.aliases import ALIASES
from localfp4.cli.entry import run_command_line
from localfp4.cli.ls_table import aligned, day, installed_lines, summary
from tests.checkpoint.store.cached import files_in, put, put_part, use_cache

TESTS = Path(__file__).parents[1]

Ls = Callable[..., tuple[str, str]]


def schema(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((TESTS / "schemas" / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def ls(
    tmp_path: Path,
    fixtures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ls:
    """Run ``ls`` on a cache that has a bit of everything."""
    cache = use_cache(tmp_path / "hub", monkeypatch)
    files = files_in(fixtures / "ct_qwen3_NVFP4A16")
    put(cache, "nvidia/Qwen3-8B-NVFP4", files)
    put(cache, "org/damaged", {**files, "model.safetensors": b"0"})
    put(cache, "org/gguf", {"m.gguf": b"0"})
    put_part(cache, "openai/gpt-oss-20b", 4_200_000_000 // 1000)
    shutil.copytree(fixtures / "m_qwen3", tmp_path / "shelf" / "mine")
    config = tmp_path / "config.toml"
    config.write_text(f"[models]\nfolders = [{str(tmp_path / 'shelf')!r}]\n")
    monkeypatch.setenv("LOCALFP4_CONFIG", str(config))

    def run(*arguments: str) -> tuple[str, str]:
        assert run_command_line(["ls", *arguments]) == 0
        printed = capsys.readouterr()
        return printed.out, printed.err

    return run


def test_the_table_begins_with_what_to_type(ls: Ls, tmp_path: Path) -> None:
    out, err = ls()
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["NAME"] == ["FORMAT", "SIZE", "USED", "MODEL"]
    assert rows["demo"][:2] == ["NVFP4", "W4A16"]
    assert rows["qwen3:8b"][:2] == ["NVFP4", "W4A16"]
    assert rows["qwen3:8b"][-2:] == ["today", "nvidia/Qwen3-8B-NVFP4"]
    assert rows["org/damaged"][0] == "damaged"
    assert rows["gpt-oss:20b"][:3] == ["0", "%", "here"]
    assert rows[str(tmp_path / "shelf" / "mine")][0] == "BF16"
    assert "org/gguf" not in out
    assert err == (
        "note: org/damaged: model.safetensors is damaged: it has 1 bytes, too few for a "
        "safetensors file; `localfp4 pull org/damaged --verify` mends it.\n"
    )


def test_all_lists_what_is_of_other_programs_with_why(ls: Ls) -> None:
    (line,) = [line for line in ls("--all")[0].splitlines() if line.startswith("org/gguf")]
    assert "only GGUF, which llama.cpp reads" in line


def test_the_object_follows_its_schema(ls: Ls) -> None:
    told = json.loads(ls("--json", "--all")[0])
    jsonschema.validate(told, schema("ls.json"))
    states = {row["name"]: row["state"] for row in told["rows"]}
    assert states["nvidia/Qwen3-8B-NVFP4"] == "ready"
    assert states["org/gguf"] == "other"
    part = next(row for row in told["rows"] if row["state"] == "unfinished")
    assert (part["name"], part["present_bytes"]) == ("openai/gpt-oss-20b", 4_200_000)
    assert "org/gguf" not in ls("--json")[0]


def test_what_is_known_is_listed_with_what_of_it_is_here(ls: Ls) -> None:
    told = json.loads(ls("--known", "--json")[0])
    jsonschema.validate(told, schema("ls_known.json"))
    assert [row["alias"] for row in told["rows"]] == [alias.name for alias in ALIASES]
    assert [row["alias"] for row in told["rows"] if row["is_here"]] == ["qwen3:8b"]
    (line,) = [one for one in ls("--known")[0].splitlines() if one.startswith("qwen3:8b ")]
    assert line.split()[-2:] == ["here", "nvidia/Qwen3-8B-NVFP4"]


def test_a_configuration_file_that_is_wrong_is_told_and_the_rest_is_listed(
    ls: Ls, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[nonsense]\n")
    out, err = ls()
    assert "nonsense" in err
    assert "qwen3:8b" in out


def test_known_and_all_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["ls", "--known", "--all"]) == 2
    assert capsys.readouterr().err.startswith("✗ --known lists what is to be had")


def test_names_from_the_disk_cannot_move_the_cursor() -> None:
    hostile = InstalledModel("org/a\x1b[2Jb\nc", "ready", "folder", Path("/x"), 5)
    (_, line) = installed_lines([hostile], 0.0)
    assert line.startswith("org/ab c")


def test_an_unfinished_one_of_unknown_size_has_at_least_what_is_here() -> None:
    part = InstalledModel("o/m", "unfinished", "cache", Path("/x"), None, present_bytes=2 * 10**9)
    assert installed_lines([part], 0.0)[1].split() == ["o/m", "a", "part", "here", ">", "2.0", "GB"]


def test_the_last_column_is_cut_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    assert aligned([("a" * 10, "b" * 40)], ()) == ["a" * 10 + "  " + "b" * 17 + "…"]
    monkeypatch.setenv("COLUMNS", "12")  # too narrow to be cut with any use
    assert aligned([("a" * 10, "b" * 40)], ()) == ["a" * 10 + "  " + "b" * 40]


def test_the_summary_counts_what_the_cache_takes(tmp_path: Path) -> None:
    one = InstalledModel("o/m", "ready", "cache", Path("/x"), 5)
    words = summary([one], 6_400_000_000, tmp_path / "not" / "there", 2)
    assert words.startswith("1 model; downloads take 6.4 GB in ")
    assert words.endswith(" are free there; --all lists 2 more that cannot be run")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (6_396_932_352, "6.4 GB"),
        (2 * 10**12, "2.0 TB"),
    ],
)
def test_sizes_are_in_units_of_a_thousand(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (-5, "today"),
        (0, "today"),
        (13, "yesterday"),
        (24 * 5, "5 days ago"),
        (24 * 90, "2026-08-24"),
    ],
)
def test_days_are_counted_by_the_calendar(hours: float, words: str) -> None:
    now = datetime(2026, 11, 22, 12).timestamp()
    assert day(now - hours * 3600, now) == words
