"""Conversations as Markdown and as JSON."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import jsonschema
import pytest

from localfp4.history import SavedConversation, Turn
from localfp4.history.export import as_json, as_markdown
from localfp4.text.sanitize import sanitize
from tests.test_history import ANSWER, QUESTION

SCHEMA = json.loads(
    Path(__file__).with_name("schemas").joinpath("conversation.json").read_text(encoding="utf-8")
)
KEPT = SavedConversation(
    7,
    "Formats",
    "demo",
    "Be brief.",
    (QUESTION, ANSWER, replace(ANSWER, id=3, content="Another."), Turn(4, 2, "summary", "So.")),
    4,
)


def test_markdown_has_the_branch_that_was_on_the_screen() -> None:
    assert as_markdown(KEPT) == (
        "# Formats\n\nModel: demo\n\n## System prompt\n\nBe brief.\n\n"
        "## You\n\nWhat is NVFP4?\n\n"
        "## demo\n\n<details>\n<summary>Thought · 0.2 s · 4 tokens</summary>\n\n"
        "Let me think.\n\n</details>\n\n"
        "A 4-bit format. 📦 \x00 'quoted'; --\n\n"
        '```\nlook_up({"what": "NVFP4"})\n```\n\n'
        "*9 tokens · 96.5 tokens/s · first token after 41 ms · 4 J · stop*\n\n"
        "## Summary of what was said before\n\nSo.\n"
    )


def test_markdown_of_what_has_no_title_model_or_figures() -> None:
    turns = (Turn(1, None, "user", "Hi"), Turn(2, 1, "assistant", "Hello"))
    text = as_markdown(SavedConversation(7, "", "", None, turns, 2))
    assert text == "# Conversation 7\n\n## You\n\nHi\n\n## Assistant\n\nHello\n\n*broken off*\n"
    assert as_markdown(SavedConversation(7, "", "", None, (), None)) == "# Conversation 7\n"


def test_thoughts_cannot_end_their_fold() -> None:
    turn = replace(ANSWER, parent=None, reasoning="a </DETAILS> b", model="m\n# not a heading")
    text = as_markdown(replace(KEPT, turns=(turn,), leaf=2))
    assert text.lower().count("</details>") == 1
    assert "## m # not a heading\n" in text


def test_json_has_every_turn_under_documented_keys() -> None:
    document = json.loads(as_json(KEPT))
    jsonschema.validate(document, SCHEMA)
    assert document == json.loads(json.dumps(asdict(KEPT)))
    assert [turn["id"] for turn in document["turns"]] == [1, 2, 3, 4]


def test_json_can_be_printed() -> None:
    text = as_json(replace(KEPT, title="\x1b]0;x\x07 \x9b \u202e ok 日本"))
    assert sanitize(text) == text
    assert json.loads(text)["title"] == "\x1b]0;x\x07 \x9b \u202e ok 日本"
    assert "日本" in text


@pytest.mark.parametrize("key", ["id", "turns", "leaf"])
def test_the_schema_refuses_what_lacks_a_key(key: str) -> None:
    document = json.loads(as_json(KEPT))
    del document[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
