"""``localfp4 fit``: what it says of models, cards and this computer, as text and as JSON."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from localfp4.checkpoint.names.aliases import Alias
from localfp4.cli.entry import run_command_line
from localfp4.cli.fit import fit
from localfp4.models import here as module
from localfp4.models import smaller
from localfp4.models.plan.refusals import _typed
from localfp4.telemetry.cards import CARDS
from localfp4.telemetry.gpus import Gpu
from localfp4.telemetry.holder import Holder

TESTS = Path(__file__).parents[1]
CHECKPOINTS = TESTS / "fixtures/checkpoints"
SCHEMA = json.loads((TESTS / "schemas/fit.json").read_text(encoding="utf-8"))
ALL_SCHEMA = json.loads((TESTS / "schemas/fit_all.json").read_text(encoding="utf-8"))
GIB = 2**30


def told(*arguments: str) -> str:
    done = CliRunner().invoke(fit, arguments, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.output


def found(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(told(*arguments, "--json"))
    jsonschema.validate(answer, SCHEMA)
    return answer


def here(free: float, total: float, capability: int = 89, **more: Any) -> Gpu:
    name = "NVIDIA GeForce RTX 4070"
    return Gpu(name, "GPU-1", int(total * GIB), int(free * GIB), capability, **more)


def test_a_mixture_that_is_larger_than_the_card() -> None:
    text = told("--synthetic", "gpt-oss-20b", "--gpu", "4070")
    assert text.startswith("synthetic:gpt-oss-20b on GeForce RTX 4070, 11.6 GiB free of 11.6\n")
    slots = re.search(r"with (\d+) of 32 experts of every mixture", text)
    assert slots is not None
    assert 8 < int(slots[1]) < 24
    # 24 layers of 32 experts, three matrices of 2880 x 2880 each, of 17/32 bytes a number.
    assert "main memory   9.5 GiB" in text
    context = re.search(r"context +(\d+) tokens, of 131072; 1 conversation at once", text)
    assert context is not None
    assert int(context[1]) >= 8192
    speed = re.search(r"about (\d+) tokens/s, an estimate: 70% of the (\d+)", text)
    assert speed is not None
    assert int(speed[1]) == pytest.approx(0.7 * int(speed[2]), abs=1)
    assert "if all experts are asked for alike" in text
    assert "all weights would fit with" in text


def test_the_numbers_add_up() -> None:
    answer = found("--synthetic", "qwen3-8b", "--gpu", "rtx 4090")
    assert answer["fits"]
    assert sum(row["bytes"] for row in answer["rows"]) == answer["device"]["free_bytes"]
    weights = {row["what"]: row["bytes"] for row in answer["rows"]}["weights"]
    assert weights == pytest.approx(6.4e9, rel=0.01)
    assert (answer["kv_dtype"], answer["kv_bytes_per_token"]) == ("fp8", 36 * 2 * 8 * 132)
    assert answer["context_tokens"] == answer["model_context_tokens"] == 40960
    assert answer["expected_tokens_per_s"] == pytest.approx(0.7 * answer["limit_tokens_per_s"])
    assert answer["placement"]["experts_on_card"] is None


def test_options_of_the_engine_count() -> None:
    arguments = ("--synthetic", "qwen3-8b:8", "--gpu", "3090")
    assert found(*arguments)["kv_dtype"] == "bfloat16"
    asked = found(*arguments, "--kv", "fp8", "--ctx", "4096", "--vram-limit", "6")
    assert (asked["kv_dtype"], asked["context_tokens"]) == ("fp8", 4096)
    used = sum(row["bytes"] for row in asked["rows"] if row["what"] not in ("left", "reserve"))
    assert used <= 6e9


def test_a_refusal_is_told_with_numbers_and_a_way_out() -> None:
    arguments = ["--synthetic", "qwen3-14b", "--gpu", "4060", "--ram", "6"]
    answer = json.loads(
        CliRunner().invoke(fit, [*arguments, "--json"], standalone_mode=False).output
    )
    jsonschema.validate(answer, SCHEMA)
    assert not answer["fits"]
    assert re.search(r"needs \d+\.\d GiB; 7\.6 GiB free of 7\.6", answer["reason"])
    assert "GiB of main memory" in answer["reason"]


def test_refusals_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["fit", "--synthetic", "qwen3-14b", "--gpu", "4060", "--ram", "6"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "→ pick a smaller model" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "4700"], "No graphics card '4700' is known. Did you mean"),
        (["--gpu", "4070", "--device", "cpu"], "leave one of them out"),
        (["org/model", "--gpu", "4070"], "org/model is not in the local cache, and HF_HUB_OFFLINE"),
        (["--device", "cuda"], "There is no GPU here that kernels run on"),
    ],
)
def test_what_cannot_be_planned(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "gpus", list)
    assert run_command_line(["fit", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_this_computer_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", lambda: [here(8, 8, capability=61)])
    answer = found()
    assert answer["device"]["kind"] == "cpu"
    assert answer["model"] == "demo"
    assert answer["limit_tokens_per_s"] is None
    assert found(str(CHECKPOINTS / "m_qwen3_moe"))["placement"]["experts"] == 4


def test_the_card_that_is_here_and_what_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", lambda: [here(9, 12, drives_display=True, link=7e9)])
    text = told("--synthetic", "qwen3-8b")
    assert text.startswith("synthetic:qwen3-8b on GeForce RTX 4070, 9.0 GiB free of 12.0\n")
    longer = re.search(r"close other programs, which hold 3\.0 GiB: up to (\d+) tokens", text)
    assert longer is not None
    assert int(longer[1]) > found("--synthetic", "qwen3-8b")["context_tokens"]
    assert found("--synthetic", "qwen3-8b")["device"]["link_bytes_per_s"] == 7e9


def test_programs_that_can_be_closed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [
        Holder(os.getpid(), "python", 2 * GIB),
        Holder(2, "gnome-shell", GIB),
        Holder(3, "chrome", GIB),
        Holder(4, "ste\x1bam", None),
        Holder(5, "", None),
    ]
    monkeypatch.setattr(module, "gpus", lambda: [here(9, 12, drives_display=True)])
    monkeypatch.setattr(module, "memory_holders", lambda uuid: held if uuid == "GPU-1" else [])
    text = told("--synthetic", "qwen3-8b")
    assert "→ close chrome, ste\N{REPLACEMENT CHARACTER}am: other programs hold 3.0 GiB" in text
    refused = CliRunner().invoke(
        fit, ["--synthetic", "qwen3-8b", "--ctx", "40960"], standalone_mode=False
    )
    lines = str(refused.exception).splitlines()
    assert lines[0].startswith("synthetic:qwen3-8b needs ")
    assert lines[1].endswith("(others hold 3.0)")
    assert re.fullmatch(r"→ localfp4 chat synthetic:qwen3-8b --ctx \d+   needs .* fits", lines[2])
    last = "→ or close chrome, ste\N{REPLACEMENT CHARACTER}am       localfp4 doctor --vram"
    assert lines[3:] == [last]


def test_a_cache_of_8_bits_is_offered_where_it_is_not_the_default() -> None:
    arguments = ("--synthetic", "qwen3-8b", "--gpu", "3060")
    offered = re.search(r"→ --kv fp8: up to (\d+) tokens", told(*arguments))
    assert offered is not None
    assert found(*arguments, "--kv", "fp8")["context_tokens"] == int(offered[1])
    refused = CliRunner().invoke(fit, [*arguments, "--ctx", "40960"], standalone_mode=False)
    command = "localfp4 chat synthetic:qwen3-8b --ctx 40960 --kv fp8"
    assert re.search(rf"→ or {command}   needs \d+\.\d GiB, fits", str(refused.exception))
    assert found(*arguments, "--ctx", "40960", "--kv", "fp8")["fits"]
    limited = found(*arguments, "--kv", "fp8", "--vram-limit", "9")["advice"]
    assert limited == ["no --vram-limit: up to 40960 tokens of context"]


def test_every_card_has_a_line() -> None:
    arguments = ("--synthetic", "qwen3-14b", "--gpu", "all", "--ram", "8")
    lines = told(*arguments).splitlines()
    assert lines[0] == "synthetic:qwen3-14b"
    assert len(lines) == len(CARDS) + 2
    by_name = {row["card"]: row for row in json.loads(told(*arguments, "--json"))["rows"]}
    jsonschema.validate(json.loads(told(*arguments, "--json")), ALL_SCHEMA)
    assert list(by_name) == [card.name for card in CARDS]
    (wide,) = [line for line in lines if " RTX 5090  " in line]
    context = by_name["GeForce RTX 5090"]["context_tokens"]
    assert re.search(rf"31\.4 GiB +fits +{context} tokens +\d+ tokens/s$", wide)
    alone = found("--synthetic", "qwen3-14b", "--gpu", "5090", "--ram", "8")
    assert context == alone["context_tokens"]
    small = by_name["GeForce RTX 4060"]
    assert not small["fits"]
    assert "needs" in small["reason"]


def test_a_smaller_model_of_the_family_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sized = [
        Alias("some:4b", "org/some-4b", 4 * 10**9),
        Alias("some:8b", "org/some-8b", 7 * 10**9),
        Alias("some:e9b", "org/some-e9b"),
        Alias("some:12b-a1b", "org/some-12b"),
        Alias("some:30b", "org/some-30b", 20 * 10**9),
        Alias("other:6b", "org/other-6b", 6 * 10**9),
    ]
    monkeypatch.setattr(smaller, "ALIASES", sized)
    monkeypatch.setattr(smaller, "alias_of", {one.repo_id: one for one in sized}.get)
    monkeypatch.setattr(smaller, "alias_named", {one.name: one for one in sized}.get)
    meant = smaller.smaller_model
    gb = 10**9
    assert meant("org/some-30b", 7 * gb, 20 * gb) == sized[1]
    assert meant("some:30b", 8 * gb, 20 * gb) == sized[3], "twelve thirtieths, by their names"
    assert meant("some:30b", 5 * gb, 20 * gb) == sized[0]
    assert meant("some:8b", 30 * gb, 7 * gb) == sized[0], "a larger one is no help"
    assert meant("some:e9b", 5 * gb, 10 * gb) == sized[0], "only sizes that were told can be taken"
    assert meant("some:4b", 30 * gb, 4 * gb) is None
    assert meant("/a/folder", 30 * gb, 20 * gb) is None


def test_of_several_cards_the_chosen_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [here(9, 12), here(7, 8)]
    monkeypatch.setattr(module, "gpus", lambda: cards)
    words = "(cuda:0), the best of 2; --device cuda:1 takes the other"
    assert f"→ GeForce RTX 4070 {words}" in told("--synthetic", "qwen3-8b:8")
    assert words not in told("--synthetic", "qwen3-8b:8", "--device", "cuda:1")
    refused = CliRunner().invoke(
        fit, ["--synthetic", "qwen3-8b", "--ctx", "40960"], standalone_mode=False
    )
    assert f"→ or GeForce RTX 4070 {words}" in str(refused.exception)


def test_a_command_can_be_typed_whatever_a_folder_is_called() -> None:
    assert _typed(r"C:\models\x") == r"C:\models\x"
    assert _typed(r"C:\My Models\x") == r'"C:\My Models\x"'


def test_no_speed_is_told_where_something_else_than_bandwidth_decides() -> None:
    answer = found("demo", "--gpu", "4090")
    assert answer["limit_tokens_per_s"] > 10_000
    assert answer["expected_tokens_per_s"] is None
    assert "tokens/s" not in told("demo", "--gpu", "4090")


def test_a_narrower_cache_helps_a_context_that_was_asked_for() -> None:
    text = told("--synthetic", "qwen3-14b", "--gpu", "3060", "--ctx", "40960")
    assert "→ a shorter context, or --kv fp8, leaves the card room for more of them" in text
