"""``localfp4 config``, settings as defaults of options, and ``--verbose``: in this process."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jsonschema
import pytest

from localfp4.cli.entry import run_command_line
from localfp4.errors import UserError
from localfp4.settings import PATH_VARIABLE

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "schemas" / "config.json").read_text(encoding="utf-8")
)


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path / "config")
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path / "log")
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Done:
        code = run_command_line(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def rows(run: Run) -> dict[str, dict[str, object]]:
    done = run("config", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    return {row["name"]: row for row in found["rows"]}


def test_set_get_list_and_unset(run: Run, file: Path) -> None:
    assert "there is none yet; localfp4 config edit makes one" in run("config").out
    assert (
        run("config", "set", "chat.model", "qwen3:8b").err == f'chat.model = "qwen3:8b" in {file}\n'
    )
    assert run("config", "set", "sampling.presence_penalty", "-0.5").code == 0
    assert run("config", "set", "chat.thinking", "off").code == 0
    assert run("config", "set", "keys.chat.new", "ctrl+b", "f5").code == 0
    assert run("config", "get", "chat.model") == (0, "qwen3:8b\n", "")
    assert run("config", "get", "chat.thinking").out == "false\n"
    assert run("config", "get", "keys.chat.new").out == "ctrl+b\nf5\n"
    assert run("config", "get", "engine.ctx").out == "auto\n"
    assert run("config", "get", "chat.theme") == (0, "", "note: chat.theme is not set.\n")
    listed = run("config", "list").out
    assert '  model             "qwen3:8b"  config.toml:2\n' in listed
    assert '  precision   "auto"   default\n' in listed
    assert json.loads(run("config", "--json", "list").out)["rows"]
    found = rows(run)
    assert found["chat.model"]["line"] == 2
    assert found["chat.model"]["file"] == str(file)
    assert found["sampling.presence_penalty"]["value"] == -0.5
    assert found["server.port"]["origin"] == "default"
    assert run("config", "unset", "chat.model").code == 0
    assert "is not set in" in run("config", "unset", "chat.model").err
    assert rows(run)["chat.model"]["value"] == "demo"


def test_secrets_are_set_or_not_and_no_more(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    monkeypatch.delenv("LOCALFP4_API_KEY", raising=False)
    listed = run("config").out
    assert "hf_abc" not in listed
    assert "secret@" not in listed
    found = rows(run)
    assert found["HF_TOKEN"]["value"] == "set"
    assert found["LOCALFP4_API_KEY"]["value"] is None
    assert found["HTTPS_PROXY"]["value"] == "http://…@proxy:3128"
    assert found["configuration"]["origin"] == "default"
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "other.toml"))
    assert rows(run)["configuration"]["origin"] == PATH_VARIABLE


WRONG = {
    ("get", "ctx"): "There is no setting ctx; did you mean engine.ctx?",
    ("set", "chat.modl", "x"): "did you mean chat.model?",
    ("set", "chat", "x"): "name one of its settings, such as chat.theme.",
    ("set", "wallpaper", "x"): "`localfp4 config` lists all that there are.",
    ("set", "engine.vram-limit", "8"): "did you mean engine.vram_limit?",
    (
        "set",
        "engine.ctx",
        "lots",
    ): 'cannot be "lots"; it must be a whole number of at least 1, or "auto".',
    ("set", "models.folders", ""): "it must be a list of folders",
    ("set", "engine.kv", "fp7"): '"fp8-static" or "bf16".',
    ("set", "engine.vram_limit", "0"): "a number above 0",
    ("set", "engine.vram_limit", "inf"): "a number above 0",
    ("set", "engine.draft", "m", "extra"): "takes one value, not 2: put it into quotes",
    ("set", "server.port", "70000"): "a whole number from 0 to 65535.",
    ("set", "server.api_key", "x"): "set LOCALFP4_API_KEY",
    ("set", "sampling.top_p", "2"): "top_p must be above 0 and at most 1, not 2.",
    ("set", "sampling.top_k", "1.5"): "top_k must be a whole number",
    ("set", "chat.ephemeral", "perhaps"): "it must be true or false.",
    ("set", "engine.speculate", "draft"): "add draft, a smaller model.",
    ("unset", "chat.modl"): "did you mean chat.model?",
    ("set", "chat.model"): "Missing argument",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_slip_is_one_sentence_and_changes_nothing(
    arguments: tuple[str, ...], run: Run, file: Path
) -> None:
    done = run("config", *arguments)
    assert (done.code, done.out) == (2, "")
    assert WRONG[arguments] in done.err
    assert done.err.count("\n") == 1
    assert not file.exists()


def test_a_broken_file_stops_only_what_needs_it(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    file.write_text("[chat\n", encoding="utf-8")
    for arguments in (["--help"], ["run", "--help"], ["fit", "--help"], ["config", "path"]):
        assert run(*arguments).code == 0
    for arguments in (["config"], ["config", "set", "chat.model", "x"], ["fit", "demo"]):
        done = run(*arguments)
        assert done.code == 2
        assert "is not TOML" in done.err
    opened: list[str] = []
    monkeypatch.setattr(
        "localfp4_tui.editor.edit_file", lambda file, command: opened.append(str(file))
    )
    assert run("config", "edit").code == 2
    file.write_text('[chats]\nx = 1\n[chat]\ntheme = "dark"\n', encoding="utf-8")
    assert run("config", "unset", "chats").code == 0
    assert run("config", "edit").code == 0
    assert opened == [str(file)] * 2
    file.unlink()
    assert run("config", "edit").code == 0
    assert "# ctx = " in file.read_text(encoding="utf-8")


def test_folders_are_those_of_where_one_stands(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("config", "set", "models.folders", "here", "~/there").code == 0
    assert run("config", "get", "models.folders").out == f"{tmp_path / 'here'}\n~/there\n"
    assert run("config", "set", "aliases.mine", "./here").code == 0
    assert run("config", "get", "aliases.mine").out == f"{tmp_path / 'here'}\n"
    assert run("config", "set", "chat.model", "org/name").code == 0
    assert run("config", "get", "chat.model").out == "org/name\n"


def test_settings_are_defaults_and_the_command_line_wins(run: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_text('[engine]\nctx = 128\ndevice = "cpu"\n', encoding="utf-8")
    assert "context     128 tokens" in run("fit", "demo").out
    assert "context     256 tokens" in run("fit", "demo", "--ctx", "256").out
    assert "context     1024 tokens" in run("fit", "demo", "--ctx", "auto").out
    # A card is planned for although the device is the CPU; this one only does not exist.
    assert "two plans" not in run("fit", "demo", "--gpu", "no such card").err


def test_a_context_of_the_settings_is_for_models_that_have_it(run: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("[engine]\nctx = 4096\n", encoding="utf-8")
    assert "context     1024 tokens, all that the model was made for" in run("fit", "demo").out
    assert "use --ctx 1024 or less" in run("fit", "demo", "--ctx", "8192").err


def test_a_refusal_tells_of_the_setting_behind_it_alone(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("The folder is full: leave --kv-disk out.")

    monkeypatch.setattr("localfp4.cli.fit.forecast", refuse)
    file.parent.mkdir()
    file.write_text('[engine]\nkv = "bf16"\nkv_disk = true\n', encoding="utf-8")
    assert run("fit", "demo").err.splitlines()[1] == (
        f"note: engine.kv_disk stands in {file}; --no-kv-disk on the command line overrides it, and "
        "`localfp4 config unset engine.kv_disk` takes it out."
    )
    assert len(run("fit", "demo", "--kv-disk").err.splitlines()) == 1


@pytest.mark.parametrize(
    "option", [("--vram-limit", "1e305"), ("--kv-ram", "1e300"), ("--threads", "100000")]
)
def test_numbers_beyond_any_computer_are_refused(option: tuple[str, str], run: Run) -> None:
    done = run("fit", "demo", *option)
    assert done.code == 2
    assert f"Invalid value for '{option[0]}'" in done.err


def test_serve_takes_its_section_and_vllm_no_engine(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCALFP4_API_KEY", raising=False)
    file.parent.mkdir()
    file.write_text("[server]\nport = 4321\n[engine]\nkv_disk = true\n", encoding="utf-8")
    assert ":4321" in run("serve", "--for", "openwebui").out
    assert ":99" in run("serve", "--for", "openwebui", "--port", "99").out
    model = str(Path(__file__).parents[1] / "fixtures" / "checkpoints" / "m_qwen3")
    done = run("serve", model, "--engine", "vllm", "--dry-run")
    assert "--port 4321" in done.out, done.err


@pytest.mark.parametrize(
    "arguments", [["--verbose", "fit", "demo"], ["fit", "demo", "--verbose", "--ctx", "128"]]
)
def test_verbose_writes_a_log_and_says_where(
    arguments: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijkl")
    monkeypatch.setattr(sys, "argv", ["localfp4", *arguments, "a prompt"])
    done = run(*arguments)
    assert done.code == 0
    [log] = (tmp_path / "log").iterdir()
    assert f"note: what happens is written to {log}\n" in done.err
    text = log.read_text(encoding="utf-8")
    assert "localfp4.cli.verbose: localfp4 " in text
    assert "variable OPENAI_API_KEY is set\n" in text
    assert text.endswith("done\n") or "exit code 0" in text
    assert "sk-abc" not in text
    assert "a prompt" not in text


@pytest.mark.slow
def test_the_engine_process_writes_beside_it(cli: "CommandLine") -> None:
    words = "a question that nobody shall read"
    done = cli("chat", cli.model("mine"), "--verbose", stdin=f"{words}\n")
    assert done.returncode == 0, done.stderr
    named = re.search(r"what happens is written to (.*)\n", done.stderr)
    assert named is not None
    command = Path(named[1])
    [engine] = command.parent.glob(f"{command.stem}-engine-*.log")
    text = command.read_text(encoding="utf-8")
    assert "started for" in text
    assert "ended by" in text
    assert "is ready on" in engine.read_text(encoding="utf-8")
    assert words not in text + engine.read_text(encoding="utf-8")


def test_a_refusal_is_logged_with_its_cause(run: Run, tmp_path: Path) -> None:
    assert run("config", "get", "ctx", "--verbose").code == 2
    [log] = (tmp_path / "log").iterdir()
    assert "refused: UserError: There is no setting ctx;" in log.read_text(encoding="utf-8")
    assert not any(run("config", "get", "engine.ctx").err)
