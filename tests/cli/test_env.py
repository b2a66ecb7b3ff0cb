"""``localfp4 env``: what a bug report says, and what it must not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from click.testing import CliRunner, Result

from localfp4.cli import env, gathering
from localfp4.doctor.anonymous import Person
from localfp4.doctor.facts import Facts, HolderFacts, PythonFacts, SystemFacts
from tests.doctor.machines import UBUNTU

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/env.json").read_text(encoding="utf-8"))
COMPUTER = replace(
    UBUNTU,
    gpus=(
        replace(
            UBUNTU.gpus[0],
            capability=120,
            holders=(HolderFacts(7, "firefox", 2**30), HolderFacts(8, "", None)),
        ),
    ),
    cache=replace(UBUNTU.cache, folder="/home/kim/.cache/huggingface/hub", model_bytes=12 * 10**9),
    variables={"HF_TOKEN": "(set)"},
    gaps=("hub: no answer\x1b[2J within 20 s",),
)


@pytest.fixture(autouse=True)
def _a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "this_person", lambda: Person("/home/kim", "kim"))


def told(monkeypatch: pytest.MonkeyPatch, facts: Facts, *options: str) -> Result:
    def gather(*, asks_network: bool, tries_kernels: bool) -> Iterator[str | Facts]:
        assert (asks_network, tries_kernels) == (False, True)
        yield "the driver"
        yield facts

    monkeypatch.setattr(gathering, "gather", gather)
    done = CliRunner().invoke(env.env, options)
    assert done.exception is None
    assert done.stderr == ""  # progress is for terminals
    return done


def test_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, COMPUTER).stdout
    for line in (
        "# localfp4 env",
        "## Card 0",
        "- compute capability: 12.0",
        "- holders: firefox 1.0 GiB, 8 ?",
        "- folder: ~/.cache/huggingface/hub",
        "- in models: 12.0 GB",
        "- HF_TOKEN: (set)",
        "Not found out: hub: no answer within 20 s",
    ):
        assert line in text.splitlines()
    assert "kim" not in text
    assert "\x1b" not in text


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, COMPUTER, "--json").stdout
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA)
    areas = [row["area"] for row in found["rows"]]
    assert areas[0] == "system"
    assert areas.count("card") == 1
    assert "kim" not in text


def test_a_computer_of_which_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Facts(SystemFacts("windows", "Windows", "AMD64"), PythonFacts("3.12.4", "python"))
    text = told(monkeypatch, bare).stdout
    assert "## Driver\n\n- none\n" in text
    jsonschema.validate(json.loads(told(monkeypatch, bare, "--json").stdout), SCHEMA)


@pytest.mark.slow
def test_this_computer(cli: "CommandLine") -> None:
    done = cli("env", "--json", HF_TOKEN="hf_secret0123456789")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert found["gaps"] == []
    assert found["variables"]["HF_TOKEN"] == "(set)"
    assert "hf_secret" not in done.stdout
