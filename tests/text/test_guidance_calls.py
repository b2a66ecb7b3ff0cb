"""Tool calls that cannot go wrong: what is drawn at random is read as calls that are valid."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import jsonschema
import pytest

from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Constraint, Request, ToolChoice
from localfp4.text.answer_reader import chat_reader, opening_of
from localfp4.text.conversation import Part
from localfp4.text.guidance.compiler import GuideCompiler
from localfp4.text.guidance.texts import searched
from localfp4.text.parsers.choose import AnswerFormat, parser_for
from localfp4.text.parsers.parser import Call, Content, Piece, Reasoning, Tools, joined
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer
from tests.text.conftest import build_byte_level
from tests.text.families import FAMILIES, model, process
from tests.text.walks import walk

TALK = (ChatMessage(role="user", content="x"),)
FORM = {
    "type": "object",
    "properties": {"q": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["q"],
    "additionalProperties": False,
}


def tool(name: str, /, required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


BOOK = tool(
    "book_it",
    ["who", "when"],
    who={"type": "string", "minLength": 1, "maxLength": 6},
    kind={"type": "string", "enum": ["", "a b", "</x>", "ü😀"]},
    when={"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
    also={"type": ["string", "null"], "maxLength": 4},
    either={"anyOf": [{"type": "integer", "minimum": -9, "maximum": 9}, {"type": "null"}]},
    tags={"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
    at={
        "type": "object",
        "properties": {"x": {"type": "number"}, "y-z": {"type": "boolean"}},
        "required": ["y-z"],
    },
    tree={"$ref": "#/$defs/tree"},
)
BOOK["function"]["parameters"]["$defs"] = {
    "tree": {
        "type": "object",
        "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
        "required": ["left"],
        "additionalProperties": False,
    }
}
TOOLS = (BOOK, tool("now"), tool("dice", ["sides"], sides={"enum": [4, 6, 20]}))


@dataclass(frozen=True)
class Speaker:
    """A tiny model of a family, as far as it writes answers."""

    tokenizer: Tokenizer
    answer_format: AnswerFormat
    ends: frozenset[int]
    compiler: GuideCompiler

    def draw(
        self,
        request: Request,
        prompt: Sequence[int],
        rng: random.Random,
        within: Part | None = None,
    ) -> list[Piece]:
        """Draw an answer and read it."""
        opening = opening_of(self.tokenizer, self.answer_format, prompt, within)
        guide = self.compiler.compile(request, self.answer_format, opening)
        tokens = walk(guide, self.ends, rng, self.tokenizer.added_tokens)
        assert tokens is not None
        tools = Tools.from_schemas(request.tools)
        reader = chat_reader(self.tokenizer, self.answer_format, tools, prompt, within)
        return joined([p for token in tokens for p in reader.add(token)] + reader.end())

    def prompts(self) -> list[list[int]]:
        """Return ends of prompts: before the answer, in a thought, and after an empty one."""
        found: list[list[int]] = [[]]
        for region in self.answer_format.reasoning[:1]:
            opens, closes = (self.tokenizer.token_id(t) or 0 for t in (region.opens, region.closes))
            found += [[opens], [opens, closes]]
        return found


@cache
def speaker(name: str) -> Speaker:
    if name in FAMILIES:
        tiny = model(name)
        assert tiny.answer_format is not None
        return _speaker(tiny.tokenizer, tiny.answer_format, tiny.family.eos, "<|call|>")
    backend = build_byte_level(added=False)
    backend.add_special_tokens(["<|end|>"])
    source = "{{ messages }}"
    if name == "seed":
        backend.add_special_tokens(
            [f"<{end}seed:{tag}>" for tag in ("think", "tool_call") for end in ("", "/")]
        )
        source += "{{ tools }}"
    if name == "plain_thinking":
        backend.add_tokens(["<think>", "</think>"])
    tokenizer = Tokenizer(backend)
    chosen = parser_for(tokenizer, ChatTemplate({"default": source}, process()))
    assert chosen is not None
    return _speaker(tokenizer, chosen, "<|end|>")


def _speaker(tokenizer: Tokenizer, answer_format: AnswerFormat, *ends: str) -> Speaker:
    ids = frozenset(id_ for id_, text in tokenizer.added_tokens.items() if text in ends)
    compiler = GuideCompiler(tokenizer, ids, tokenizer.vocab_size)
    return Speaker(tokenizer, answer_format, ids, compiler)


def asked(choice: ToolChoice, constraint: Constraint | None = None, **more: Any) -> Request:
    tools = more.pop("tools", TOOLS)
    return Request(
        "1", messages=TALK, tools=tools, tool_choice=choice, constraint=constraint, **more
    )


def check_calls(pieces: Sequence[Piece], tools: Sequence[dict[str, Any]] = TOOLS) -> list[str]:
    """Check every call of an answer, and return what they call."""
    schemas = {t["function"]["name"]: t["function"]["parameters"] for t in tools}
    calls = [piece for piece in pieces if isinstance(piece, Call)]
    for call in calls:
        jsonschema.validate(json.loads(call.arguments), schemas[call.name])
    return [call.name for call in calls]


def said(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Content))


NAMES = [*FAMILIES, "seed", "plain", "plain_thinking"]


def some_calls(name: str, choice: ToolChoice, draws: int, seed: int) -> list[list[str]]:
    """Draw answers that have to call, from every end of a prompt."""
    tiny, rng = speaker(name), random.Random(seed)
    found = []
    for prompt, _ in product(tiny.prompts(), range(draws)):
        pieces = tiny.draw(asked(choice), prompt, rng)
        names = check_calls(pieces)
        assert names
        assert not said(pieces)
        found.append(names)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_has_to_call_does(name: str) -> None:
    some_calls(name, ToolChoice("required"), 1, 1)
    one = some_calls(name, ToolChoice("required", name="dice", parallel=False), 1, 2)
    assert all(names == ["dice"] for names in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_has_to_call_does_often(name: str) -> None:
    some_calls(name, ToolChoice("required", strict=True), 20, 3)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_may_call_is_content_or_valid_calls(name: str) -> None:
    tiny, rng = speaker(name), random.Random(4)
    kinds: set[type[Piece]] = set()
    for prompt, _ in product(tiny.prompts(), range(3 if tiny.answer_format.reasoning else 8)):
        pieces = tiny.draw(asked(ToolChoice(strict=True)), prompt, rng)
        check_calls(pieces)
        kinds.update(map(type, pieces))
        at = next((n for n, piece in enumerate(pieces) if isinstance(piece, Call)), len(pieces))
        assert all(isinstance(piece, Call) for piece in pieces[at:])
    assert Content in kinds
    thinks = tiny.answer_format.reasoning or name == "gpt_oss"
    assert (Reasoning in kinds) == bool(thinks)


@pytest.mark.parametrize("name", NAMES)
def test_content_has_its_form_unless_the_answer_calls(name: str) -> None:
    tiny, rng = speaker(name), random.Random(5)
    form = Constraint("json_schema", json.dumps(FORM))
    contents, calls = 0, 0
    for prompt, _ in product(tiny.prompts(), range(2 if tiny.answer_format.reasoning else 5)):
        pieces = tiny.draw(asked(ToolChoice(), form), prompt, rng)
        names = check_calls(pieces)
        calls += len(names)
        if not names:
            contents += 1
            jsonschema.validate(json.loads(said(pieces)), FORM)
        plain = tiny.draw(asked(ToolChoice(), form, tools=()), prompt, rng)
        jsonschema.validate(json.loads(said(plain)), FORM)
    assert contents
    assert bool(calls) != name.startswith("plain")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("plain")])
def test_answers_that_have_begun(name: str) -> None:
    tiny, rng = speaker(name), random.Random(6)
    prompt = tiny.tokenizer.encode("Well", add_special_tokens=False)
    for choice in (ToolChoice("required"), ToolChoice(strict=True)):
        pieces = tiny.draw(asked(choice), prompt, rng, "content")
        assert check_calls(pieces) or choice.mode == "auto"
    with pytest.raises(RequestError, match="leave out its beginning"):
        tiny.draw(asked(ToolChoice(), Constraint("json_object")), prompt, rng, "content")
    if tiny.answer_format.reasoning or name == "gpt_oss":
        opened = [*tiny.prompts()[min(1, len(tiny.prompts()) - 1)], *prompt]
        pieces = tiny.draw(asked(ToolChoice("required")), opened, rng, "thinking")
        assert check_calls(pieces)


def test_plain_calls_cannot_follow_what_has_been_said() -> None:
    with pytest.raises(RequestError, match="cannot go on with a tool call"):
        speaker("plain").draw(asked(ToolChoice("required")), [5], random.Random(0), "content")


def test_a_vocabulary_that_lacks_a_token_of_its_protocol_is_told_in_words() -> None:
    tiny = speaker("gpt_oss")
    markers = {id_: m for id_, m in tiny.answer_format.markers.items() if m != "<|constrain|>"}
    lacking = replace(tiny, answer_format=replace(tiny.answer_format, markers=markers))
    with pytest.raises(RequestError, match=r"no token <\|constrain\|>"):
        lacking.draw(asked(ToolChoice("required")), [], random.Random(0))


PARTLY = tool("f", day={"type": "string", "format": "date"}, n={"type": "integer", "not": {}})


@pytest.mark.parametrize(
    ("name", "keyword"), [("qwen3", "not"), ("qwen3_5", "format"), ("gemma4", "format")]
)
def test_what_cannot_be_enforced_is_refused_only_where_strict(name: str, keyword: str) -> None:
    tiny, rng = speaker(name), random.Random(7)
    with pytest.raises(RequestError, match=keyword):
        tiny.draw(asked(ToolChoice("required", strict=True), tools=(PARTLY,)), [], rng)
    strict = {**PARTLY, "function": {**PARTLY["function"], "strict": True}}
    with pytest.raises(RequestError, match=keyword):
        tiny.draw(asked(ToolChoice("required"), tools=(strict,)), [], rng)
    assert any(
        isinstance(piece, Call)
        for piece in tiny.draw(asked(ToolChoice("required"), tools=(PARTLY,)), [], rng)
    )


BAD = [
    ("qwen3", ToolChoice("required"), (), "there is none"),
    ("qwen3", ToolChoice("required", name="nobody"), TOOLS, "'nobody'"),
    ("qwen3", ToolChoice("required"), (tool("a b"),), "'a b'"),
    ("qwen3", ToolChoice("required"), ({"function": 5},), "needs a name"),
    ("qwen3", ToolChoice("required"), (tool("f", x=5),), "has 5 where a schema must"),
    (
        "qwen3",
        ToolChoice("required"),
        ({"function": {"name": "f", "parameters": {"type": "array"}}},),
        "must describe an object",
    ),
    (
        "qwen3",
        ToolChoice("required"),
        ({"function": {"name": "f", "parameters": {"properties": 5}}},),
        "properties with the value 5",
    ),
    (
        "gemma4",
        ToolChoice("required"),
        (tool("f", x={"type": "array", "items": {"type": 5}}),),
        "type with the value 5",
    ),
    ("gemma4", ToolChoice("required"), (tool("f", x={"required": [[]]}),), "required with the"),
    ("gemma4", ToolChoice("required"), (tool("f", x={"minItems": "x"}),), "minItems with the"),
    ("lfm2_5", ToolChoice("required"), (tool("f", [5], x=True),), "required with the"),  # type: ignore[list-item]
    ("qwen3", ToolChoice("required"), (tool("f" * 300_000),), "characters together"),
    ("lfm2_5", ToolChoice("required"), (tool("get-it"),), "'get-it'"),
    (
        "lfm2_5",
        ToolChoice("required"),
        (tool("f", (), **{"class": {"type": "string"}}),),
        "'class'",
    ),
    ("qwen3_5", ToolChoice("required"), (tool("f", (), **{"a>b": {"type": "string"}}),), "'a>b'"),
    ("glm4", ToolChoice("required"), (tool("f", (), **{" a": {"type": "string"}}),), "' a'"),
]


@pytest.mark.parametrize(("name", "choice", "tools", "said"), BAD)
def test_tools_that_cannot_be_called_are_refused_in_words(
    name: str, choice: ToolChoice, tools: Any, said: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(said)) as refusal:
        speaker(name).draw(asked(choice, tools=tools), [], random.Random(0))
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    "pattern", ["a", "^a", "a$", "^a$", "^a|b$", "x(a|b)y", "^(a|b)$", r"\$", r"a\\$", "[|^$]+", ""]
)
def test_patterns_are_searched_for(pattern: str) -> None:
    whole = searched(pattern).replace(r"\/", "/")
    for text in ["", "a", "b", "ab", "ba", "xay", "cxbyc", "$", "a\\", "|", "a\nb", "aXb"]:
        assert bool(re.fullmatch(whole, text)) == bool(re.search(pattern, text)), text
