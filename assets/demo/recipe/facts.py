"""Loads `facts.toml`: what the demo knows, the phrasings of each fact, and which are held out.

Knows nothing of conversations or tokens.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.model import Shape, parameter_count
from recipe.text import held_out, normalise

FACTS_FILE = Path(__file__).resolve().parents[1] / "facts.toml"
FOLLOW_UPS = ("short", "why", "example", "how")


@dataclass(frozen=True)
class Fact:
    """One thing the model knows."""

    id: str
    kind: str
    answers: tuple[str, ...]
    must: tuple[str, ...]
    trained: tuple[str, ...]
    held: tuple[str, ...]
    follow: dict[str, str]
    talk: bool


def load_facts(shape: Shape | None = None, path: Path = FACTS_FILE) -> list[Fact]:
    """All facts; figures about the model itself are filled in from its shape."""
    shape = shape or Shape()
    text = path.read_text(encoding="utf-8")
    text = text.replace("@PARAMS@", str(round(parameter_count(shape) / 1e6)))
    text = text.replace("@LAYERS@", str(shape.layers))
    data = tomllib.loads(text)
    return [_fact(row, data["templates"], data["held_templates"]) for row in data["fact"]]


def held_phrasings(facts: list[Fact]) -> set[str]:
    """The normal form of every question that is kept for grading."""
    return {normalise(question) for fact in facts for question in fact.held}


def _fact(row: dict[str, Any], templates: dict[str, Any], unseen: dict[str, Any]) -> Fact:
    kind, subjects = row["kind"], row.get("subjects", [])
    asked = [*row.get("asks", []), *_filled(templates.get(kind, []), subjects)]
    trained = [q for q in asked if not held_out(q)] or asked[:1]
    known = {normalise(q) for q in trained}
    held = [q for q in asked if normalise(q) not in known]
    never = [*row.get("unseen", []), *_filled(unseen.get(kind, []), subjects)]
    held += [q for q in never if normalise(q) not in known]
    return Fact(
        id=row["id"],
        kind=kind,
        answers=tuple(row["answers"]),
        must=tuple(row["must"]),
        trained=tuple(trained),
        held=tuple(held),
        follow={name: row[name] for name in FOLLOW_UPS if name in row},
        talk=row.get("talk", False),
    )


def _filled(templates: list[str], subjects: list[str]) -> list[str]:
    """Every template with every subject; a subject "a|b" fills {x} and {y}."""
    pairs = [(*subject.split("|"), "")[:2] for subject in subjects]
    return [t.replace("{x}", x).replace("{y}", y) for t in templates for x, y in pairs]
