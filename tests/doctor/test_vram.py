"""Who holds the memory of the cards, in words and rows."""

import json
from pathlib import Path

import jsonschema
import pytest

from localfp4.doctor.facts import HolderFacts
from localfp4.doctor.style import Style
from localfp4.doctor.vram import as_rows, in_words
from tests.doctor.machines import GIB, MACHINES, card

SCHEMA = Path(__file__).parents[1] / "schemas/doctor_vram.json"


def test_programs_and_what_nobody_accounts_for() -> None:
    assert in_words(MACHINES["laptop-on-battery"].gpus, Style()) == [
        "0: GeForce RTX 4060 Laptop GPU, 4.4 GiB free of 8.0 GiB",
        "  1.4 GiB  chrome                                    4211",
        "  1.0 GiB  steamwebhelper                            9120",
        "        ?  dwm                                       1033",
        "  1.2 GiB  the driver, and what it does not tell of",
    ]


def test_cards_without_programs_and_computers_without_cards() -> None:
    free = card("GeForce RTX 3060", 86, 12.0, 12.0)
    assert in_words((free,), Style())[1:] == ["  nothing runs on it"]
    assert in_words((), Style()) == ["No NVIDIA graphics card answers; `localfp4 doctor` says why."]


def test_names_of_programs_cannot_move_the_cursor() -> None:
    holder = HolderFacts(1, "evil\x1b[2J\x9b5m", GIB)
    (_, line, *_) = in_words((card("X", 86, 12.0, 10.0, holders=(holder,)),), Style())
    assert line.split() == ["1.0", "GiB", "evil", "1"]


def test_rows_follow_the_schema() -> None:
    rows = as_rows(MACHINES["laptop-on-battery"].gpus)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate({"environment": {}, "rows": rows}, schema)
    assert rows[0]["other_bytes"] == pytest.approx(1.2 * GIB, abs=2)
