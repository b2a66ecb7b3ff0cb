"""Answers that follow a form: whatever is drawn of what may come next is valid."""

import json
import random
import re
import threading
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import numpy as np
import pytest

from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Constraint, Request, ToolChoice
from localfp4.text.answer_reader import chat_reader
from localfp4.text.guidance import guide as guide_module
from localfp4.text.guidance import matchers
from localfp4.text.guidance.compiler import GuideCompiler
from localfp4.text.guidance.guide import LlGuide
from localfp4.text.guidance.needed import is_guided
from localfp4.text.guidance.vocabulary import make_vocabulary
from localfp4.text.parsers.parser import NEW_ANSWER, Content, Tools
from localfp4.text.tokenizer import Tokenizer
from tests.text.conftest import BUILDERS
from tests.text.families import WEATHER
from tests.text.walks import allowed, random_schema, walk

DEMO = Path(__file__).parents[2] / "assets/demo/bf16"
PADDING = 7
"""Ids that logits have, and the vocabulary has not."""


class Vocabulary:
    """A tokenizer, what ends an answer, and guides for it."""

    def __init__(self, tokenizer: Tokenizer, *ends: str) -> None:
        self.tokenizer = tokenizer
        self.ends = frozenset(
            token for token, text in tokenizer.added_tokens.items() if text in ends
        )
        width = tokenizer.vocab_size + PADDING
        self.compiler = GuideCompiler(tokenizer, self.ends, width)

    def guide(self, constraint: Constraint) -> LlGuide:
        request = Request("1", prompt="x", constraint=constraint)
        return self.compiler.compile(request, None, NEW_ANSWER)

    def drawn(self, constraint: Constraint, rng: random.Random) -> str:
        """Draw an answer, and read it as a conversation's."""
        tokens = walk(self.guide(constraint), self.ends, rng)
        assert tokens is not None
        reader = chat_reader(self.tokenizer, None, Tools({}), [])
        pieces = [piece for token in tokens for piece in reader.add(token)] + reader.end()
        return "".join(piece.text for piece in pieces if isinstance(piece, Content))


@cache
def vocabulary(kind: str) -> Vocabulary:
    if kind == "demo":
        return Vocabulary(Tokenizer.from_folder(DEMO), "<|im_end|>", "<|endoftext|>")
    return Vocabulary(Tokenizer(BUILDERS[kind]()), "<|im_end|>", "</s>")


def check_schema(seed: int) -> None:
    rng = random.Random(seed)
    kind = ["demo", "byte-level", "llama-2", "gemma"][seed % 4]
    schema = random_schema(rng)
    answer = vocabulary(kind).drawn(Constraint("json_schema", json.dumps(schema)), rng)
    jsonschema.validate(
        json.loads(answer), schema, format_checker=jsonschema.FormatChecker(["ipv4", "date"])
    )


@pytest.mark.parametrize("tens", range(4))
def test_every_answer_follows_its_schema(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        check_schema(seed)


@pytest.mark.slow
def test_every_answer_follows_its_schema_of_500() -> None:
    for seed in range(40, 500):
        check_schema(seed)


@pytest.mark.parametrize("kind", ["demo", "byte-level", "llama-2", "gemma"])
def test_other_forms(kind: str) -> None:
    words, rng = vocabulary(kind), random.Random(1)
    for _ in range(3):
        assert re.fullmatch(
            r"[0-9]{3}/(ä|\n|😀)* x?",
            words.drawn(Constraint("regex", r"^[0-9]{3}/(ä|\n|😀)* x?$"), rng),
        )
        assert words.drawn(Constraint("choice", '[" ja", "jaja", "", "né\\n"]'), rng) in (
            " ja",
            "jaja",
            "",
            "né\n",
        )
        lark = Constraint("grammar", 'start: "<" NAME "/>"\nNAME: /[a-z]{1,4}/')
        assert re.fullmatch("<[a-z]{1,4}/>", words.drawn(lark, rng))
        gbnf = Constraint("grammar", 'root ::= "yes" | "no" digit+\ndigit ::= [0-9]')
        assert re.fullmatch("yes|no[0-9]+", words.drawn(gbnf, rng))


def test_any_object() -> None:
    seen = [vocabulary("demo").drawn(Constraint("json_object"), random.Random(n)) for n in (3, 5)]
    assert all(isinstance(json.loads(text), dict) for text in seen)


BAD = [
    ("json_schema", "{", "not JSON"),
    ("json_schema", "[1]", "must be an object"),
    ("json_schema", "false", "allows nothing"),
    ("json_schema", '{"uniqueItems": true}', "uniqueItems"),
    ("json_schema", '{"type": "strange"}', "strange"),
    ("json_schema", '{"type": "string", "pattern": "(?=a)b"}', "look-around"),
    ("json_schema", '{"$ref": "#/$defs/none"}', "does not exist"),
    ("json_schema", '{"$ref": "http://localhost/x"}', "http://localhost/x"),
    ("json_schema", '{"minimum": 3, "maximum": 1, "type": "number"}', "Unsatisfiable"),
    ("json_schema", '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}', "Nothing"),
    ("json_schema", '{"a":' * 120 + "1" + "}" * 120, "nested deeper"),
    ("json_schema", "[" * 100_000, "not JSON"),
    ("regex", "(", "unclosed group"),
    ("regex", "a(?!b)", "look-around"),
    ("regex", r"[^\s\S]", "Nothing"),
    ("regex", "\ud800", "surrogate"),
    ("grammar", "hello you", "neither Lark nor GBNF"),
    ("grammar", 'start: nobody "x"', "nobody"),
    ("grammar", "start: " + "(" * 5_000 + '"a"' + ")" * 5_000, "nested"),
    ("grammar", f"start: /{'a?' * 5_000}/", "expression that is too long"),
    ("json_schema", f'{{"type": "string", "pattern": "{"a?" * 5_000}"}}', "10000 characters"),
    ("json_schema", '{"multipleOf": 300007, "type": "integer"}', "too far apart"),
    (
        "json_schema",
        '{"allOf": [{"type": "integer", "multipleOf": 9973}, {"multipleOf": 9967}]}',
        "too far apart",
    ),
    ("json_schema", '{"multipleOf": 1e-300, "type": "number"}', "too far apart"),
    ("json_schema", '{"properties": {"a": 5}}', "has 5 where a schema must stand"),
    ("grammar", 'start: x "b"\nx[max_tokens=3]: /a+/', "max_tokens"),
    ("choice", "{}", "list of texts"),
    ("choice", "[]", "list of texts"),
    ("choice", "[1]", "list of texts"),
]


@pytest.mark.parametrize(("kind", "text", "said"), BAD)
def test_what_cannot_be_followed_is_refused_in_words(kind: str, text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refusal:
        vocabulary("demo").guide(Constraint(kind, text))  # type: ignore[arg-type]
    message = str(refusal.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 500


CHAINS = {
    "rules": lambda n: "\n".join(
        ["start: r0", *(f"r{i}: r{i + 1}" for i in range(n)), f'r{n}: "a"']
    ),
    "terminals": lambda n: "\n".join(
        ["start: T0", *(f'T{i}: T{i + 1} "b"' for i in range(n)), f'T{n}: "a"']
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_grammars_that_would_overflow_a_stack_are_refused(chain: str) -> None:
    vocabulary("demo").guide(Constraint("grammar", CHAINS[chain](900)))
    with pytest.raises(RequestError, match="at most 1000"):
        vocabulary("demo").guide(Constraint("grammar", CHAINS[chain](3_000)))


def test_nobody_waits_behind_a_grammar_that_cannot_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    compiled = llguidance.LLMatcher

    def slowly(*arguments: Any, **options: Any) -> Any:
        assert go_on.wait(20)
        return compiled(*arguments, **options)

    tokenizer = vocabulary("byte-level").tokenizer
    ends = vocabulary("byte-level").ends
    held = matchers.Matchers(make_vocabulary(tokenizer, ends, tokenizer.vocab_size), longest_s=0.01)
    with monkeypatch.context() as patched:
        patched.setattr(llguidance, "LLMatcher", slowly)
        with pytest.raises(RequestError, match=r"longer than 0\.01 s"):
            held.matcher("{}")
        with pytest.raises(RequestError, match="still being compiled"):
            held.matcher("{}")
        go_on.set()


def test_a_form_with_too_many_ways_to_begin_is_not_blamed_on_its_lengths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = llguidance.LLParserLimits(max_items_in_row=50)
    monkeypatch.setattr(matchers, "_LIMITS", few)
    schema = {"type": "object", "properties": {f"p{n}": {} for n in range(60)}}
    with pytest.raises(RequestError, match="too much open at once"):
        vocabulary("demo").guide(Constraint("json_schema", json.dumps(schema)))


def _referring(n: int) -> Constraint:
    definitions: dict[str, object] = {
        f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}}
        for i in range(n)
    }
    definitions[f"d{n}"] = {"type": "null"}
    schema = {"$ref": "#/$defs/d0", "$defs": definitions}
    return Constraint("json_schema", json.dumps(schema))


def test_schemas_that_would_overflow_a_stack_are_refused() -> None:
    vocabulary("demo").guide(_referring(900))
    with pytest.raises(RequestError, match="at most 4000"):
        vocabulary("demo").guide(_referring(3000))


def test_recursive_schemas() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["left"],
        "additionalProperties": False,
    }
    rng = random.Random(2)
    answer = vocabulary("demo").drawn(Constraint("json_schema", json.dumps(tree)), rng)
    jsonschema.validate(json.loads(answer), tree)


@pytest.mark.parametrize(
    ("builder", "ends", "said"),
    [("word-piece", "[SEP]", "neighbours"), ("byte-level", "none", "names no token that ends")],
)
def test_models_whose_answers_cannot_be_guided(builder: str, ends: str, said: str) -> None:
    words = Vocabulary(Tokenizer(BUILDERS[builder]()), ends)
    with pytest.raises(RequestError, match=said):
        words.guide(Constraint("json_object"))


def test_without_llguidance_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "localfp4.text.guidance.matchers", None)
    words = Vocabulary(Tokenizer(BUILDERS["byte-level"]()), "<|im_end|>")
    with pytest.raises(RequestError, match=r"pip install 'localfp4\[serve\]'"):
        words.guide(Constraint("json_object"))


class TestGuide:
    """One guide, as the sampler and the drafter see it."""

    def test_masks_of_guesses_are_those_of_the_tokens_that_came(self) -> None:
        words, rng = vocabulary("demo"), random.Random(11)
        for seed in range(6):
            schema = Constraint("json_schema", json.dumps(random_schema(random.Random(seed))))
            tokens = walk(words.guide(schema), words.ends, rng)
            assert tokens is not None
            stepwise, ahead = words.guide(schema), words.guide(schema)
            place = 0
            while place < len(tokens):
                guesses = tokens[place : place + rng.randint(0, 5)]
                masks = ahead.masks(guesses)
                wrong = int(rng.randrange(words.tokenizer.vocab_size))
                assert ahead.allowed([*guesses, wrong]) >= len(guesses)
                for row, token in zip(masks, [*guesses, None], strict=True):
                    np.testing.assert_array_equal(row, stepwise.masks([])[0])
                    if token is not None:
                        stepwise.accept(token)
                        ahead.accept(token)
                        place += 1
                if not guesses:
                    stepwise.accept(tokens[place])
                    ahead.accept(tokens[place])
                    place += 1

    def test_guesses_are_allowed_up_to_a_wrong_one_or_an_end(self) -> None:
        words = vocabulary("demo")
        guide = words.guide(Constraint("choice", '["abc"]'))
        a, b, c, x = (words.tokenizer.encode(char)[0] for char in "abcx")
        end = min(words.ends)
        assert guide.allowed([a, b, c]) == 3
        assert guide.allowed([a, x, c]) == 1
        assert guide.allowed([a, b, c, end]) == 3
        assert guide.allowed([]) == 0

    def test_every_stop_token_ends_it_and_only_where_the_form_does(self) -> None:
        words = vocabulary("demo")
        guide = words.guide(Constraint("choice", '["a", "ab"]'))
        a, b = (words.tokenizer.encode(char)[0] for char in "ab")
        assert not words.ends & set(allowed(guide.masks([])[0]))
        guide.accept(a)
        assert set(allowed(guide.masks([])[0])) == {b, *words.ends}
        guide.accept(b)
        assert set(allowed(guide.masks([])[0])) == words.ends
        guide.accept(min(words.ends))
        assert set(allowed(guide.masks([])[0])) == words.ends

    def test_a_token_that_may_not_come_ends_the_guidance(self) -> None:
        words = vocabulary("demo")
        guide = words.guide(Constraint("choice", '["a"]'))
        x = words.tokenizer.encode("x")[0]
        guide.accept(x)
        width = words.tokenizer.vocab_size + PADDING
        assert guide.allowed([x, x]) == 2
        assert set(allowed(guide.masks([x])[1])) == set(range(width))

    def test_it_gives_up_where_finding_what_may_come_takes_too_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = vocabulary("demo")
        monkeypatch.setattr(guide_module, "_USUAL_S", 0.0)
        monkeypatch.setattr(guide_module, "_MOST_LATE_S", 0.01)
        ambiguous = Constraint("grammar", 'start: e\ne: e e e | e e | "a" | "b"')
        guide, [a] = words.guide(ambiguous), words.tokenizer.encode("a")
        for _ in range(60):
            guide.masks([])
            guide.accept(a)
        assert "takes too long" in str(guide.failure)

    def test_text_holds_neither_control_tokens_nor_padding(self) -> None:
        words = vocabulary("byte-level")
        guide = words.guide(Constraint("regex", "(?s:.*)"))
        free = set(allowed(guide.masks([])[0]))
        controls = {"<|im_start|>", "<think>", "</think>"}
        assert not free & {words.tokenizer.token_id(text) for text in controls}
        assert not free & set(range(words.tokenizer.vocab_size, words.tokenizer.vocab_size + 32))
        assert {words.tokenizer.token_id("日本"), words.tokenizer.token_id("  ")} <= free

    def test_guides_of_one_form_are_apart(self) -> None:
        words = vocabulary("demo")
        first, second = (words.guide(Constraint("choice", '["aa"]')) for _ in range(2))
        a = words.tokenizer.encode("a")[0]
        first.accept(a)
        first.accept(a)
        assert set(allowed(first.masks([])[0])) == words.ends
        assert a in allowed(second.masks([])[0])


FORM = Constraint("json_object")
TALK = (ChatMessage(role="user", content="x"),)


@pytest.mark.parametrize(
    ("request_", "guided"),
    [
        (Request("1", prompt="x"), False),
        (Request("1", prompt="x", constraint=FORM), True),
        (Request("1", messages=TALK, tools=(WEATHER,)), False),
        (Request("1", messages=TALK, tools=(WEATHER,), tool_choice=ToolChoice(strict=True)), True),
        (Request("1", messages=TALK, tool_choice=ToolChoice(strict=True)), False),
        (Request("1", messages=TALK, tools=(WEATHER,), tool_choice=ToolChoice("required")), True),
        (Request("1", messages=TALK, tools=(WEATHER,), tool_choice=ToolChoice("none")), False),
    ],
)
def test_what_is_guided(request_: Request, guided: bool) -> None:
    assert is_guided(request_) is guided
