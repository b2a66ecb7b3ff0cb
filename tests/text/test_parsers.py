"""Answers as models write them, well and badly, to reasoning, content and calls."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.text.answer_reader import AnswerReader, chat_reader
from localfp4.text.parsers.choose import parser_for
from localfp4.text.parsers.parser import (
    NEW_ANSWER,
    Call,
    Content,
    Piece,
    Reasoning,
    Tools,
    joined,
    make_call,
)
from localfp4.text.pieces import _BYTE_OF
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer
from tests.text.conftest import build_byte_level
from tests.text.families import FAMILIES, WEATHER, Model, model, process

WEATHER_CALL = Call("weather", '{"city": "Köln"}')

ANSWERS: list[tuple[str, str, list[Piece]]] = [
    # Reasoning and content, with the line breaks that belong to the markup.
    ("qwen3", "<think>\nHm.\n\nYes.\n</think>\n\nIt\n\nrains.\n", [Reasoning("Hm.\n\nYes."), Content("It\n\nrains.\n")]),
    ("qwen3", "\n It rains.\n\n", [Content("\n It rains.\n\n")]),
    ("qwen3", "<think>\n\n</think>\n\nRain", [Content("Rain")]),
    ("qwen3", "<think>Cut off at the lim", [Reasoning("Cut off at the lim")]),
    ("gemma4", "<|channel>thought\nHm.<channel|>Rain.", [Reasoning("Hm."), Content("Rain.")]),
    ("gemma4", "<|channel>thought\n<channel|>Rain.", [Content("Rain.")]),
    ("gemma4", "<|channel>thou", [Reasoning("thou")]),
    ("gemma4", "<|channel>idle\nHm.<channel|>Rain.", [Reasoning("idle\nHm."), Content("Rain.")]),
    ("mistral", "[THINK]Hm.[/THINK]Rain.", [Reasoning("Hm."), Content("Rain.")]),
    ("gpt_oss", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Rain.<|return|>", [Reasoning("Hm."), Content("Rain.")]),
    ("gpt_oss", "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B", [Reasoning("A\nB")]),
    ("gpt_oss", "<|channel|>commentary<|message|>I will look.<|end|>", [Content("I will look.")]),
    ("gpt_oss", "No header at all", [Content("No header at all")]),
    ("gpt_oss", "No header" * 40, [Content("No header" * 40)]),
    # Calls.
    ("qwen3", 'Look:\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>\n', [Content("Look:"), WEATHER_CALL]),
    ("qwen3", '<think>Hm<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Köln\\"}"}</tool_call>', [Reasoning("Hm"), WEATHER_CALL]),
    ("qwen3", '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}', [WEATHER_CALL]),
    ("qwen3", '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>', [WEATHER_CALL, WEATHER_CALL]),
    ("qwen3_5", "<tool_call>\n<function=weather>\n<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>", [Call("weather", '{"city": "Köln", "days": 3}')]),
    ("qwen3_5", "<tool_call><function=weather><parameter=days>many</parameter></function></tool_call>", [Call("weather", '{"days": "many"}')]),
    ("gpt_oss", ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Köln"}', [WEATHER_CALL]),
    ("gpt_oss", '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Köln"}<|call|>', [WEATHER_CALL]),
    ("llama3", '\n{"name": "weather", "parameters": {"city": "Köln"}}', [WEATHER_CALL]),
    ("llama3", '<|python_tag|>{"name": "weather", "parameters": {"city": "Köln"}}; {"name": "weather", "parameters": {"city": "Köln"}}', [WEATHER_CALL, WEATHER_CALL]),
    ("llama3", "\n Rain.\n", [Content("\n Rain.\n")]),
    ("mistral", 'I look.[TOOL_CALLS]weather[CALL_ID]abc[ARGS]{"city": "Köln"}[TOOL_CALLS]weather[ARGS]{}', [Content("I look."), WEATHER_CALL, Call("weather", "{}")]),
    ("mistral_list", '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Köln"}}]', [WEATHER_CALL]),
    ("lfm2_5", '<|tool_call_start|>[weather(city="Köln", days=-1, b=true, c=None)]<|tool_call_end|>Done.', [Call("weather", '{"city": "Köln", "days": -1, "b": true, "c": null}'), Content("Done.")]),
    ("glm4", "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>\n</tool_call>", [WEATHER_CALL]),
]  # fmt: skip

MALFORMED = [
    ("qwen3", "</think>stray"),
    ("qwen3", "Hi\n\n<tool_call>\n{nonsense}\n</tool_call>\n\nthere"),
    ("qwen3", '<tool_call>{"name": "weather", "arguments": {"city": "K'),
    ("qwen3", '<tool_call>{"name": 5, "arguments": {}}</tool_call>'),
    ("qwen3", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
    ("qwen3", "<tool_call>" + "[" * 3000 + "</tool_call>"),
    ("qwen3_5", "<tool_call>\n<function=weather>\n<parameter=city>\nKöln\n"),
    ("qwen3_5", "<tool_call><function=f>what</function></tool_call>"),
    ("gemma4", '<|tool_call>call:f{a:<|"|>unclosed}<tool_call|>'),
    ("gemma4", "<|tool_call>call:f{a:1,}<tool_call|>"),
    ("gemma4", "<|tool_call>call:f{a:" + "[" * 3000 + "<tool_call|>"),
    ("gpt_oss", "<|channel|>commentary to=functions.nobody<|message|>{}"),
    (
        "gpt_oss",
        "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{broken<|call|>",
    ),
    ("llama3", '{"answer": 42}'),
    ("llama3", '{"name": "unknown", "parameters": {}}'),
    ("llama3", "<|python_tag|>import os"),
    ("mistral", "[TOOL_CALLS]weather[ARGS]{broken"),
    ("mistral_list", "[TOOL_CALLS][]"),
    ("lfm2_5", "<|tool_call_start|>[weather('positional')]<|tool_call_end|>"),
    ("lfm2_5", "<|tool_call_start|>[weather(a=open('x'))]<|tool_call_end|>"),
    ("lfm2_5", "<|tool_call_start|>[weather(**{'a': 1})]<|tool_call_end|>"),
    ("lfm2_5", "<|tool_call_start|>" + "(" * 3000 + "<|tool_call_end|>"),
    ("glm4", "<tool_call>weather<arg_key>city</arg_key>Köln</tool_call>"),
]


_BYTE_LEVEL = build_byte_level(added=False).get_vocab()
BYTES = {byte: _BYTE_LEVEL[char] for char, byte in _BYTE_OF.items()}
"""The token that is nothing but a byte, for each."""


def reader_of(model: Model, tools: Sequence[dict[str, Any]] = (WEATHER,)) -> AnswerReader:
    return chat_reader(model.tokenizer, model.answer_format, Tools.from_schemas(tools), [])


def read(model: Model, answer: str, tools: Sequence[dict[str, Any]] = (WEATHER,)) -> list[Piece]:
    reader = reader_of(model, tools)
    pieces: list[Piece] = []
    for token in model.tokenizer.encode(answer, add_special_tokens=False):
        pieces += reader.add(token)
    return joined([*pieces, *reader.end()])


@pytest.mark.parametrize(("family", "answer", "pieces"), ANSWERS)
def test_answers(family: str, answer: str, pieces: list[Piece]) -> None:
    assert read(model(family), answer) == pieces


@pytest.mark.parametrize(("family", "answer"), MALFORMED)
def test_malformed_markup_is_shown_as_it_stands(family: str, answer: str) -> None:
    assert read(model(family), answer) == [Content(answer)]


@pytest.mark.parametrize(
    "answer",
    ['Hi\n\n<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>', "<tool_call>\n"],
)
def test_without_tools_a_call_is_text(answer: str) -> None:
    assert read(model("qwen3"), answer, tools=()) == [Content(answer)]


@pytest.mark.parametrize(("family", "answer", "pieces"), ANSWERS)
def test_answers_byte_by_byte(family: str, answer: str, pieces: list[Piece]) -> None:
    """Each control token, and each byte of the rest as a token of its own."""
    tiny = model(family)
    added = {text: token for token, text in tiny.tokenizer.added_tokens.items()}
    reader = reader_of(tiny)
    found: list[Piece] = []
    for part in filter(None, re.split("|".join(f"({re.escape(text)})" for text in added), answer)):
        tokens = [added[part]] if part in added else [BYTES[byte] for byte in part.encode()]
        for token in tokens:
            found += reader.add(token)
    assert joined([*found, *reader.end()]) == pieces


@settings(max_examples=30)
@given(data=st.data())
def test_the_pieces_do_not_depend_on_where_text_is_cut(data: st.DataObject) -> None:
    family, answer, pieces = data.draw(st.sampled_from(ANSWERS))
    tiny = model(family)
    assert tiny.answer_format is not None
    markers = tiny.answer_format.markers
    parser = tiny.answer_format.make_parser(Tools.from_schemas([WEATHER]), NEW_ANSWER)
    found: list[Piece] = []
    for part in re.split("|".join(f"({re.escape(mark)})" for mark in markers.values()), answer):
        if part in markers.values():
            found += parser.mark(part)
        elif part:
            cut = data.draw(st.integers(0, len(part)))
            found += [*parser.text(part[:cut]), *parser.text(part[cut:])]
    assert joined([*found, *parser.end()]) == pieces


@settings(max_examples=60)
@given(data=st.data())
def test_nothing_a_model_writes_is_lost_or_breaks_the_parser(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FAMILIES)))
    tiny = model(name)
    assert tiny.answer_format is not None
    marks = [*tiny.answer_format.markers.values(), *(f"letter{n}" for n in range(9)), "{", "\n"]
    answer = "".join(data.draw(st.lists(st.sampled_from(marks), max_size=12)))
    pieces = read(tiny, answer, tools=data.draw(st.sampled_from([(), (WEATHER,)])))
    shown = "".join(str(piece) for piece in pieces)
    for word in (f"letter{n}" for n in range(9)):
        # What gpt-oss writes into the header of a message is no text.
        assert shown.count(word) == answer.count(word) or name == "gpt_oss"


def test_markup_spelled_in_ordinary_tokens_is_text() -> None:
    """A model that explains the markup writes it in pieces, which never are the control tokens."""
    tiny = model("qwen3")
    reader = reader_of(tiny)
    pieces: list[Piece] = []
    for char in "<think>no</think><tool_call>{}</tool_call>":
        for token in tiny.tokenizer.encode(char, add_special_tokens=False):
            pieces += reader.add(token)
    text = "<think>no</think><tool_call>{}</tool_call>"
    assert joined([*pieces, *reader.end()]) == [Content(text)]


@pytest.mark.parametrize(
    ("family", "prompt", "kind"),
    [
        ("qwen3_5", "<|im_start|>assistant\n<think>\n", Reasoning),
        ("qwen3_5", "<|im_start|>assistant\n<think>\n\n</think>\n\n", Content),
        ("qwen3_5", "<think>\n was closed by nobody <|im_start|>assistant\n", Content),
        ("glm4", "<|assistant|><think>", Reasoning),
        ("glm4", "<|assistant|></think>", Content),
        ("gemma4", "<|turn>model\n<|channel>thought\n<channel|>", Content),
    ],
)
def test_a_prompt_may_end_inside_the_reasoning(
    family: str, prompt: str, kind: type[Content] | type[Reasoning]
) -> None:
    tiny = model(family)
    ids = tiny.tokenizer.encode(prompt, add_special_tokens=False)
    reader = chat_reader(tiny.tokenizer, tiny.answer_format, Tools({}), ids)
    pieces = [p for t in tiny.tokenizer.encode("Hm.") for p in reader.add(t)]
    assert joined(pieces) == [kind("Hm.")]


def test_a_character_split_by_a_control_token_is_replaced() -> None:
    tiny = model("qwen3")
    reader = reader_of(tiny)
    [think] = tiny.ids("<think>")
    half = tiny.tokenizer.encode("\U0001f9ff", add_special_tokens=False)[:2]
    pieces = [p for t in (*half, think) for p in reader.add(t)]
    assert pieces == [Content("\ufffd")]
    assert [*reader.add(tiny.tokenizer.encode("a")[0]), *reader.end()] == [Reasoning("a")]


def test_seed_oss_has_tags_of_its_own() -> None:
    """As its chat template and vLLM's parsers (seed_oss) spell them: Qwen's calls in other tags."""
    backend = build_byte_level(added=False)
    backend.add_special_tokens(
        [f"<{end}seed:{tag}>" for tag in ("think", "tool_call") for end in ("", "/")]
    )
    tokenizer = Tokenizer(backend)
    chosen = parser_for(tokenizer, ChatTemplate({"default": "{{ messages }}"}, process()))
    answer = (
        "<seed:think>Hm.</seed:think>Look:<seed:tool_call>\n<function=weather>\n"
        "<parameter=city>Köln</parameter>\n</function>\n</seed:tool_call>"
    )
    reader = chat_reader(tokenizer, chosen, Tools.from_schemas([WEATHER]), [])
    pieces = [piece for token in tokenizer.encode(answer) for piece in reader.add(token)]
    found = joined([*pieces, *reader.end()])
    assert found == [Reasoning("Hm."), Content("Look:"), WEATHER_CALL]


def test_a_vocabulary_without_markup_has_no_protocol() -> None:
    template = ChatTemplate({"default": "{{ messages[0].content }} {{ tools }} <think>"}, process())
    assert parser_for(Tokenizer(build_byte_level(added=False)), template) is None


@pytest.mark.parametrize(
    ("answer", "pieces"),
    [
        ('{"name": "weather", "arguments": {"city": "Köln"}}', [WEATHER_CALL]),
        ('\n{"name": "weather", "arguments": {"city": "Köln"}}\n' * 2, [WEATHER_CALL] * 2),
        ('{"name": "unknown", "arguments": {}}', None),
        ('{"answer": 42}', None),
        ("{ it rains }", None),
        ("It rains.\n", None),
        ("", []),
    ],
)
def test_a_model_whose_template_knows_no_tools_writes_calls_as_json(
    answer: str, pieces: list[Piece] | None
) -> None:
    template = ChatTemplate({"default": "{{ messages[0].content }}"}, process())
    tokenizer = Tokenizer(build_byte_level(added=False))
    read = chat_reader(
        tokenizer, parser_for(tokenizer, template), Tools.from_schemas([WEATHER]), ()
    )
    found = joined([piece for one in tokenizer.encode(answer) for piece in read.add(one)])
    assert joined([*found, *read.end()]) == ([Content(answer)] if pieces is None else pieces)


@pytest.mark.parametrize(
    "tools",
    [
        [],
        [{"type": "function"}],
        [{"function": {"name": 5}}],
        [{"function": {"name": "weather", "parameters": {"properties": 5}}}],
        [{"function": {"name": "weather", "parameters": {"properties": {"days": 5}}}}],
        [{"name": "weather"}],
    ],
)
def test_malformed_tools_read_arguments_as_text(tools: list[dict[str, Any]]) -> None:
    known = Tools.from_schemas(tools)
    assert known.value("weather", "days", "3") == "3"
    assert json.loads(json.dumps(dict(known.parameters))) == known.parameters


def test_arguments_are_json_that_every_client_reads() -> None:
    """Python reads and writes more: numbers that JSON has not, and halves of characters."""
    assert make_call("weather", '{"days": NaN}') is None
    assert make_call("weather", '{"days": 1e999}') is None
    assert make_call("weather", r'{"city": "\ud83d"}') == Call("weather", '{"city": "\ufffd"}')
