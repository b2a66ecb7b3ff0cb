"""``localfp4 run`` with a fake engine: where the prompt comes from and what is printed."""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from localfp4 import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_model_and_prompt(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "one two")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one two\n", "")


def test_piped_input_follows_the_prompt_after_a_blank_line(cli: "CommandLine") -> None:
    done = cli("run", cli.model("base"), "Summarise:", "--json", stdin="a\nb\n")
    assert json.loads(done.stdout)["text"] == "plain Summarise: a b"


@pytest.mark.parametrize("prompt", [["-"], []])
def test_a_dash_or_nothing_reads_the_prompt_from_the_input(
    prompt: list[str], cli: "CommandLine"
) -> None:
    words = [cli.model("echo"), *prompt] if prompt else []
    done = cli("run", *words, stdin="from the pipe")
    if words:
        assert done.stdout == "from the pipe\n"
    else:  # the demo, which may not be built yet where the tests run
        assert done.stdout == "from the pipe\n" or "demo model" in done.stderr


def test_input_that_is_not_utf8_is_read_all_the_same(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "-", stdin=b"caf\xe9 \xff")
    assert done.stdout == "caf\ufffd \ufffd\n"


@pytest.mark.skipif(os.name == "nt", reason="arguments are bytes on POSIX only")
def test_arguments_that_are_not_utf8_do_not_break_it(cli: "CommandLine") -> None:
    done = subprocess.run(
        [*(os.fsencode(part) for part in cli.command), b"run", cli.model("echo"), b"caf\xe9"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=cli.environment(),
        check=False,
    )
    assert done.stdout.decode() == "caf\ufffd\n"


def test_the_conversation_has_the_system_turn_first(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "turns?", "--system", "Be brief.")
    assert done.stdout == "system=Be brief. user=turns?\n"


def test_a_model_without_a_template_has_no_place_for_instructions(cli: "CommandLine") -> None:
    cli.refuses("run", cli.model("base"), "hi", "--system", "Be brief.", words="--system")


def test_a_schema_is_read_from_a_file(cli: "CommandLine", tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    words = f"JSON schema {schema} cannot be read"
    cli.refuses("run", cli.model("echo"), "hi", "--schema", str(schema), words=words)
    schema.write_text('{"type": "object"}\n', encoding="utf-8")
    done = cli("run", cli.model("echo"), "one two", "--schema", str(schema))
    assert (done.returncode, done.stdout) == (0, "one two\n")
    schema.write_text("type: object", encoding="utf-8")
    words = f"JSON schema {schema} is not JSON: Expecting value"
    cli.refuses("run", cli.model("echo"), "hi", "--schema", str(schema), words=words)


def test_options_replace_the_models_own_sampling_defaults(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "sampling?", "--temperature", "1", "--seed", "3")
    assert "temperature=1.0," in done.stdout
    assert "seed=3," in done.stdout
    assert "top_k=20," in done.stdout


def test_json_is_one_object_with_units_in_its_names(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "one escape three", "--json", "--max-tokens", "2")
    answer = json.loads(done.stdout)
    assert answer["text"] == "one \x1b[31mred\x1b[0m"
    assert answer["finish_reason"] == "length"
    assert answer["output_tokens"] == 2
    assert answer["ttft_ms"] == 10.0
    assert answer["load_ms"] == 500.0
    assert answer["decode_tokens_per_s"] == 25.0


def test_escape_sequences_of_a_model_are_not_printed(cli: "CommandLine") -> None:
    assert cli("run", cli.model("echo"), "one escape three").stdout == "one red three\n"


def test_reasoning_is_not_part_of_the_answer(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "ponder one two")
    assert (done.returncode, done.stdout, done.stderr) == (0, " one two\n", "")
    done = cli("run", cli.model("echo"), "ponder one two", "--show-thinking")
    assert (done.stdout, done.stderr) == (" one two\n", "Let me think.\n\n")


def test_reasoning_and_calls_are_in_the_json(cli: "CommandLine") -> None:
    answer = json.loads(cli("run", cli.model("echo"), "ponder call", "--json").stdout)
    assert (answer["text"], answer["reasoning"]) == ("", "Let me think.")
    call = {"index": 0, "id": "123456789", "name": "weather", "arguments": "{}"}
    assert answer["tool_calls"] == [call]


def test_an_answer_that_is_cut_off_while_thinking_says_so(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "ponder one", "--max-tokens", "1")
    assert done.stdout == "\n"
    assert "still thinking; raise --max-tokens" in done.stderr


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], "thinking=None reasoning_effort=None"),
        (["--think", "--reasoning-effort", "high"], "thinking=True reasoning_effort=high"),
        (["--no-think"], "thinking=False reasoning_effort=None"),
    ],
)
def test_options_say_how_much_to_think(options: list[str], asked: str, cli: "CommandLine") -> None:
    assert cli("run", cli.model("echo"), "thinking?", *options).stdout == f"{asked}\n"


def test_a_model_that_cannot_think_says_so(cli: "CommandLine") -> None:
    done = cli("run", cli.model("thoughtless"), "one", "--think")
    assert done.stdout == "one\n"
    assert done.stderr.endswith("does not think before it answers; asking it to changes nothing.\n")
    assert cli("run", cli.model("thoughtless"), "one", "--no-think").stderr == ""


def test_stats_go_to_standard_error(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "one two", "--stats")
    assert done.stdout == "one two\n"
    assert "TTFT 10 ms" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(cli: "CommandLine") -> None:
    with cli.start("run", cli.model("echo"), "repeat 100000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5) == "again"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


def test_a_bug_is_one_sentence_and_a_log(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "crash")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr
    if os.name != "nt":
        (log,) = cli.home.rglob("localfp4-errors.log")
        text = log.read_text(encoding="utf-8")
        assert "a kernel went wrong" in text
        assert text.splitlines()[0].endswith(f" localfp4 {__version__}: run")  # and no prompt


def test_a_bug_shows_its_traceback_on_demand(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "crash", LOCALFP4_DEBUG="1")
    assert "Traceback" in done.stderr


def test_running_out_of_memory_is_something_the_user_can_mend(cli: "CommandLine") -> None:
    cli.refuses("run", cli.model("echo"), "oom", words="--ctx")
    cli.refuses("run", cli.model("huge"), "hi", words="not enough memory")


def test_a_console_without_the_cross_says_error(cli: "CommandLine") -> None:
    done = cli("run", cli.model("missing"), "hi", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr == "error: There is no model named 'missing'.\n"


def test_an_answer_the_console_cannot_show_is_shown_with_question_marks(cli: "CommandLine") -> None:
    done = cli("run", cli.model("echo"), "grün 日本", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout) == (0, "gr\ufffdn ??\n")
