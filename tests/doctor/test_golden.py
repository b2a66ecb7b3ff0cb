"""Reports of computers that people have; ``UPDATE_GOLDEN=1`` writes them anew, to be read."""

import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from localfp4.doctor.checks.everything import all_findings
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import has_problem
from localfp4.doctor.report import as_object, in_words
from localfp4.doctor.style import Style, style_for
from tests.doctor.machines import MACHINES

GOLDEN = Path(__file__).with_name("golden")
SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/doctor.json").read_text(encoding="utf-8"))
FIT = {"healthy-5090-linux", "wsl-on-mnt-c", "no-gpu", "laptop-on-battery", "old-card"}


def report(facts: Facts, style: Style | None = None, width: int = 100) -> str:
    lines = in_words(all_findings(facts), facts.system.kind, style or Style(), width)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", MACHINES)
def test_golden_report(name: str) -> None:
    told, golden = report(MACHINES[name]), GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MACHINES)
def test_machines_that_cannot_run_models_on_their_card_have_a_problem(name: str) -> None:
    assert has_problem(all_findings(MACHINES[name])) == (name not in FIT)


@pytest.mark.parametrize("name", MACHINES)
def test_json_follows_the_schema_and_says_the_same(name: str) -> None:
    facts = MACHINES[name]
    findings = all_findings(facts)
    told = {"environment": {}} | as_object(findings, facts.system.kind)
    jsonschema.validate(json.loads(json.dumps(told)), SCHEMA)
    assert told["problems"] == sum(row["level"] == "problem" for row in told["rows"])
    assert [row["summary"] for row in told["rows"]] == [one.summary for one in findings]


def test_every_problem_and_warning_says_what_to_do_or_why_nothing_helps() -> None:
    for name, facts in MACHINES.items():
        for finding in all_findings(facts):
            if finding.level in ("problem", "warning"):
                assert finding.reason, (name, finding.check)
                # A computer without a card, or with an old one, is not broken.
                assert finding.remedies or finding.check in ("driver", "card"), (
                    name,
                    finding.check,
                )


def test_no_line_is_wider_than_asked_unless_it_is_one_word_or_a_command() -> None:
    for facts in MACHINES.values():
        commands = [
            row["written"]
            for finding in as_object(all_findings(facts), facts.system.kind)["rows"]
            for remedy in finding["remedies"]
            for row in remedy["commands"]
        ]
        for line in report(facts, width=60).splitlines():
            assert len(line) <= 60 or line.strip() in commands or len(line.split()) <= 2, line


def test_consoles_without_signs_get_ascii_and_only_terminals_get_colours() -> None:
    facts = MACHINES["4090-windows-cpu-torch"]
    plain = report(facts, style_for("cp437", has_colours=False))
    plain.encode("ascii")
    assert "  XX torch 2.13.0+cpu is built without CUDA" in plain
    coloured = report(facts, style_for("utf-8", has_colours=True))
    assert "\x1b[31m✗\x1b[0m" in coloured
    assert "\x1b[" not in report(facts, style_for("utf-8", has_colours=False))


def test_text_from_elsewhere_cannot_move_the_cursor() -> None:
    facts = MACHINES["driver-too-old"]
    evil = replace(
        facts, torch=replace(facts.torch, cuda="13.0", sees_gpus=None, error="a\x1b[2Jb\nc")
    )
    assert "\x1b" not in report(evil)
    assert "ab c" in report(evil)
