"""What clients of OpenAI's API ask, as the engine is asked it, and what is refused in words."""

import json
from typing import Any

import pytest

from localfp4.messages import Constraint, Request, ToolChoice
from tests.server.dialect_app import post
from tests.server.fakes import FakeEngine, finished
from tests.server.openai_app import chat, complete

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": SCHEMA},
}
TIME = {"type": "function", "function": {"name": "time", "strict": True}}
NO_PARAMETERS = {"type": "object", "properties": {}}


def asked(**fields: Any) -> list[Request]:
    engine = FakeEngine([finished()])
    response = chat(engine, **fields)
    assert response.status_code == 200, response.text
    return engine.requests


def asked_texts(**fields: Any) -> list[Request]:
    engine = FakeEngine([finished()])
    response = complete(engine, **fields)
    assert response.status_code == 200, response.text
    return engine.requests


def test_what_is_left_out_or_null_is_as_the_models_authors_recommend() -> None:
    nulls = dict.fromkeys(("temperature", "tools", "tool_choice", "stop", "max_tokens", "n"))
    (request,) = asked(**nulls, unknown={"a": [1]}, model="gpt-4o")
    assert request.sampling.temperature == 0.6
    assert request.sampling.max_tokens is None
    assert request.sampling.logprobs is None
    assert request.tools == ()
    assert request.tool_choice == ToolChoice()
    assert request.constraint is None
    assert not request.background


def test_sampling_is_passed_on() -> None:
    (request,) = asked(
        temperature=0,
        top_p=0.5,
        top_k=-1,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        logit_bias={"5": -100, "7": 1.5},
        seed=3,
        stop="\n",
        stop_token_ids=[9],
        ignore_eos=True,
        max_tokens=5,
        max_completion_tokens=6,
        logprobs=True,
        top_logprobs=2,
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (
        0,
        0.5,
        0,
        0.1,
    )
    assert (sampling.repetition_penalty, sampling.presence_penalty) == (1.1, 0.2)
    assert sampling.frequency_penalty == 0.3
    assert sampling.logit_bias == {5: -100, 7: 1.5}
    assert (sampling.seed, list(sampling.stop), list(sampling.stop_token_ids)) == (3, ["\n"], [9])
    assert (sampling.ignore_eos, sampling.max_tokens, sampling.logprobs) == (True, 6, 2)


def test_several_answers_have_seeds_and_ids_of_their_own() -> None:
    requests = asked(n=3, seed=10)
    assert [request.sampling.seed for request in requests] == [10, 11, 12]
    assert len({request.id for request in requests}) == 3
    assert [request.sampling.seed for request in asked(n=2, seed=-1)] == [None, None]


def test_turns_are_passed_on_with_calls_and_reasoning() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    (request,) = asked(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call]},
            {"role": "tool", "content": "20 degrees", "tool_call_id": "c1", "name": "weather"},
        ]
    )
    assert request.messages == (
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "20 degrees", "tool_call_id": "c1", "name": "weather"},
    )


@pytest.mark.parametrize("where", ["continue_final_message", "prefix"])
def test_an_answer_that_was_begun_is_gone_on_with(where: str) -> None:
    begun: dict[str, Any] = {"role": "assistant", "content": "Once"}
    settings = {}
    if where == "prefix":
        begun["prefix"] = True
    else:
        settings[where] = True
    (request,) = asked(messages=[{"role": "user", "content": "Hi"}, begun], **settings)
    assert request.continues


@pytest.mark.parametrize(
    ("choice", "names", "expected"),
    [
        (None, ["weather", "time"], ToolChoice(strict=True)),
        ("auto", ["weather", "time"], ToolChoice(strict=True)),
        ("none", ["weather", "time"], ToolChoice("none", strict=True)),
        ("required", ["weather", "time"], ToolChoice("required", strict=True)),
        (
            {"type": "function", "function": {"name": "time"}},
            ["weather", "time"],
            ToolChoice("required", "time", strict=True),
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
            ["weather"],
            ToolChoice("required"),
        ),
    ],
)
def test_tools_and_the_choice_among_them(
    choice: Any, names: list[str], expected: ToolChoice
) -> None:
    (request,) = asked(tools=[WEATHER, TIME], tool_choice=choice)
    assert [tool["function"]["name"] for tool in request.tools] == names
    assert request.tool_choice == expected
    assert request.tools[0] == WEATHER
    if "time" in names:
        expected_time = {"name": "time", "parameters": NO_PARAMETERS}
        assert request.tools[1] == {"type": "function", "function": expected_time}


def test_parallel_calls_can_be_ruled_out() -> None:
    (request,) = asked(tools=[WEATHER], parallel_tool_calls=False)
    assert not request.tool_choice.parallel


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", ""),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA},
                }
            },
            "json_schema",
            SCHEMA,
        ),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "json_schema", SCHEMA),
        ({"guided_json": SCHEMA}, "json_schema", SCHEMA),
        ({"guided_json": json.dumps(SCHEMA)}, "json_schema", SCHEMA),
        ({"structured_outputs": {"json": SCHEMA}}, "json_schema", SCHEMA),
        ({"structured_outputs": {"json_object": True}}, "json_object", ""),
        ({"json_schema": SCHEMA}, "json_schema", SCHEMA),
        ({"guided_regex": "[ab]"}, "regex", "[ab]"),
        ({"structured_outputs": {"regex": "[ab]"}}, "regex", "[ab]"),
        ({"guided_grammar": "start: A"}, "grammar", "start: A"),
        (
            {"grammar": 'root ::= "a"', "response_format": {"type": "text"}},
            "grammar",
            'root ::= "a"',
        ),
        ({"structured_outputs": {"grammar": "start: A"}}, "grammar", "start: A"),
        ({"guided_choice": ["a", "b"]}, "choice", ["a", "b"]),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "choice", ["a", "b"]),
    ],
)
def test_the_form_of_an_answer_in_every_servers_words(
    fields: dict[str, Any], kind: str, text: Any
) -> None:
    (request,) = asked(**fields)
    assert isinstance(request.constraint, Constraint)
    assert request.constraint.kind == kind
    written = request.constraint.text
    assert (json.loads(written) if isinstance(text, dict | list) else written) == text


@pytest.mark.parametrize(
    ("fields", "wanted", "effort"),
    [
        ({}, None, None),
        ({"reasoning_effort": "none"}, False, None),
        ({"reasoning_effort": "high"}, True, "high"),
        ({"reasoning_effort": "minimal"}, True, "low"),
        ({"reasoning_effort": "xhigh"}, True, "high"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False, None),
        ({"chat_template_kwargs": {"thinking": True}}, True, None),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, True, "low"),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"thinking": True}}, True, None),
    ],
)
def test_the_wish_to_think(fields: dict[str, Any], wanted: bool | None, effort: str | None) -> None:
    (request,) = asked(**fields)
    assert (request.thinking, request.reasoning_effort) == (wanted, effort)


def test_templates_can_be_told_what_they_are_allowed_to() -> None:
    (request,) = asked(chat_template_kwargs={"date_string": "1 May", "enable_thinking": True})
    assert dict(request.template_options) == {"date_string": "1 May"}


@pytest.mark.parametrize(
    ("fields", "background"),
    [
        ({"service_tier": "flex"}, True),
        ({"service_tier": "auto"}, False),
        ({"priority": 1}, True),
        ({"priority": -1}, False),
    ],
)
def test_who_can_wait(fields: dict[str, Any], background: bool) -> None:
    assert asked(**fields)[0].background is background


TITLE = "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history."
TAGS = "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history."
FOLLOW_UP = (
    "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might ask."
)
AUTOCOMPLETE = "### Task:\nYou are an autocompletion system. Continue the text in `<text>`."
QUERIES = "### Task:\nAnalyze the chat history to determine the necessity of generating queries."
RAG = "### Task:\nRespond to the user query using the provided context."


@pytest.mark.parametrize(
    ("text", "stream", "is_chore"),
    [
        (TITLE, False, True),
        (TAGS, False, True),
        (FOLLOW_UP, False, True),
        (AUTOCOMPLETE, False, True),
        (TITLE, True, False),
        (QUERIES, False, False),
        (RAG, False, False),
        ("### Task:", False, False),
        ("What does Generate 1-3 broad tags mean?", False, False),
    ],
)
def test_what_open_webui_asks_beside_a_chat_can_wait(
    text: str, stream: bool, is_chore: bool
) -> None:
    turns = [{"role": "user", "content": text}]
    assert asked(messages=turns, stream=stream)[0].background is is_chore


@pytest.mark.parametrize(("task", "is_chore"), [("title_generation", True), ("", False)])
def test_open_webui_can_say_what_it_asks_in_a_header(task: str, is_chore: bool) -> None:
    engine = FakeEngine([finished()])
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"x-openwebui-task": task, "x-openwebui-user-id": "u1"}
    post(engine, "/v1/chat/completions", body, headers)
    assert engine.requests[0].background is is_chore
    assert engine.requests[0].client == "u1"


def test_clients_are_told_apart_by_what_they_are_called_or_where_they_are() -> None:
    assert asked(user="eve")[0].client == "eve"
    assert asked(user="eve", safety_identifier="x" * 300)[0].client == "x" * 256
    assert asked(prompt_cache_key="k")[0].client == "k"
    assert asked()[0].client == "127.0.0.1"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a", [("a", None)]),
        ("", [("", None)]),
        (["a", "b"], [("a", None), ("b", None)]),
        ([1, 2], [(None, (1, 2))]),
        ([[1, 2], [3]], [(None, (1, 2)), (None, (3,))]),
    ],
)
def test_prompts_are_texts_or_token_ids(prompt: Any, expected: list[Any]) -> None:
    requests = asked_texts(prompt=prompt)
    assert [(one.prompt, one.token_ids) for one in requests] == expected
    assert {one.sampling.max_tokens for one in requests} == {16}


def test_several_answers_to_several_prompts_are_in_the_order_of_the_prompts() -> None:
    assert [one.prompt for one in asked_texts(prompt=["a", "b"], n=2)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("fields", "scored"),
    [
        ({}, None),
        ({"logprobs": 2}, None),
        ({"echo": True}, None),
        ({"echo": True, "logprobs": 1}, 1),
        ({"echo": True, "logprobs": 0}, 0),
        ({"echo": True, "max_tokens": 0}, 0),
        ({"prompt_logprobs": 3, "max_tokens": 0}, 3),
    ],
)
def test_prompts_are_scored_where_that_is_shown(fields: dict[str, Any], scored: int | None) -> None:
    (request,) = asked_texts(**fields)
    assert request.prompt_logprobs == scored


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role", "'robot'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "no content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "valid string"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages[0].content[0]",
            "only text is read",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0]",
            "no text",
        ),
        ({"messages": [{"role": "user", "content": "a"}] * 4097}, "messages", "4096"),
        ({"temperature": -1}, "temperature", "between 0 and 100"),
        ({"temperature": "1"}, "temperature", "valid number"),
        ({"top_p": 0}, "top_p", "above 0"),
        ({"top_k": -2}, "top_k", "-1"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"max_tokens": 2**31}, "max_tokens", "less than"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"n": 0}, "n", "at least 1"),
        ({"n": 129}, "n", "128"),
        ({"n": True}, "n", "integer"),
        ({"stop": ["a"] * 17}, "stop", "16"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "'a'"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "100"),
        ({"top_logprobs": 2}, "top_logprobs", "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "logprobs", "20"),
        ({"min_tokens": 1}, "min_tokens", "cannot be heeded"),
        ({"functions": [{"name": "a"}]}, "functions", "old form"),
        ({"chat_template": "{{ 1 }}"}, "chat_template", "own template"),
        ({"modalities": ["text", "audio"]}, "modalities", "text"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs", "'tokenize'"),
        ({"chat_template_kwargs": {"thinking": "yes"}}, None, "true or false"),
        ({"reasoning_effort": "very much"}, None, "a word"),
        ({"response_format": {"type": "xml"}}, "response_format", "'xml'"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "no json_schema"),
        ({"guided_json": SCHEMA, "guided_regex": "a"}, None, "one form"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structural_tag", "use tools"),
        ({"guided_json": "x" * 2**19}, None, "too long"),
        ({"tools": [{"type": "web_search"}]}, "tools", "'web_search'"),
        ({"tools": [{"type": "function"}]}, "tools", "no function"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, None, "at least 1"),
        ({"tools": [WEATHER] * 513}, "tools", "512"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"tools": [WEATHER], "tool_choice": "maybe"}, "tool_choice", "'maybe'"),
        ({"tools": [WEATHER], "tool_choice": {"type": "x"}}, "tool_choice", "auto, none"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "b"}}},
            "tool_choice",
            "'b'",
        ),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs", "whole answers"),
        ({"prompt_logprobs": 21}, "prompt_logprobs", "20"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    fields: dict[str, Any], param: str | None, words: str
) -> None:
    engine = FakeEngine([finished()])
    response = chat(engine, **fields)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    assert len(error["message"]) < 400
    if param is not None:
        assert error["param"] == param
    assert engine.requests == []


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": None}, "prompt", "required"),
        ({"prompt": []}, "prompt", "no prompt"),
        ({"prompt": [[]]}, "prompt", "list of token ids"),
        ({"prompt": [-1]}, "prompt", "list of token ids"),
        ({"prompt": [1, "a"]}, "prompt", "list of token ids"),
        ({"prompt": ["a"] * 65, "n": 2}, "n", "128"),
        ({"suffix": "b"}, "suffix", "fill gaps"),
        ({"best_of": 2}, "best_of", "ask for n"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds", "text or token ids"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"logprobs": 21}, "logprobs", "20"),
    ],
)
def test_completions_that_cannot_be_had_are_refused_in_words(
    fields: dict[str, Any], param: str, words: str
) -> None:
    response = complete(FakeEngine([finished()]), **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert words in response.json()["error"]["message"]
