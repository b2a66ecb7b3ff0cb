import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import CheckpointError, RequestError
from localfp4.text.conversation import Conversation
from localfp4.text.sandbox import MAX_OUTPUT_CHARS
from localfp4.text.template import ChatTemplate
from localfp4.text.template_files import find_templates
from tests.text.families import process

transformers = pytest.importorskip("transformers")

QWEN_LIKE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.reasoning_content and loop.index0 > ns.last %}
            {{- '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- message.content or '' }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
        {{- '\\n</tool_response><|im_end|>\\n' }}
    {%- elif not (loop.first and message.role == "system") %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA_LIKE = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") if use_clock else "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
<|start_header_id|>system<|end_header_id|>

Today Date: {{ date_string }}
Tools: {{ tools | tojson(indent=4) if tools is not none else "none" }}
Documents: {{ documents is none }}
{{ system_message }}<|eot_id|>
{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/...') }}
    {% endif %}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + eos_token }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{% endif %}
"""

WITH_CONTROLS = """\
{% macro turn(message) %}[{{ message.role }}]{% endmacro %}
{% for message in messages %}
  {% if message.role == 'system' %}{% continue %}{% endif %}
  {% if message.content == 'end' %}{% break %}{% endif %}
  {{ turn(message) }}
  {% generation %}
    {{ message.content }}{{ loop.index }}
  {% endgeneration %}
  {% if message.role == 'assistant' %}
    {% generation %}{{ thinking_of(message) if false else message.thinking }}{% endgeneration %}
  {% endif %}
{% endfor %}
{{ dict(a=1) | tojson }}{{ {'b': '<&>"é日', 'a': [1.5, none, true]} | tojson(sort_keys=true) }}
{{ no_such_name }}{{ messages[0].no_such_key }}
"""

TEMPLATES = {"qwen": QWEN_LIKE, "llama": LLAMA_LIKE, "controls": WITH_CONTROLS}

TOOL_CALL = {"function": {"name": "weather", "arguments": {"city": "Köln <&>", "days": 2}}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one turn": [{"role": "user", "content": "Hi <b>&'\"</b> 😀\n"}],
    "system": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "end"},
    ],
    "reasoning": [
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "4", "reasoning_content": "two and two"},
    ],
    "thinking": [
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "4", "thinking": "two and two"},
    ],
    "tool call": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]},
    ],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a <city> & beyond",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def _oracle(source: str, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    oracle = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=source
    )
    rendered: str = oracle.apply_chat_template(messages, tokenize=False, **kwargs)
    return rendered


def _render(
    source: str,
    messages: list[dict[str, Any]],
    tools: Sequence[dict[str, Any]] = (),
    **options: Any,
) -> str:
    template = ChatTemplate({"default": source}, process())
    conversation = Conversation(messages, tools, options=options)
    return template.render(conversation, {"bos_token": "<s>", "eos_token": "</s>"}).plain


COMPARED = [
    (name, tools, conversation)
    for name in TEMPLATES
    for tools in (None, TOOLS)
    for conversation in CONVERSATIONS
    # A template without tools: they are told in words here, and dropped there.
    if name != "controls" or not (tools or conversation == "tool call")
]


@pytest.mark.parity
@pytest.mark.parametrize("prompt", [True, False], ids=["prompt", "no prompt"])
@pytest.mark.parametrize(("name", "tools", "conversation"), COMPARED)
def test_equals_transformers(name: str, prompt: bool, tools: Any, conversation: str) -> None:
    if name == "controls" and (tools or conversation == "tool call"):
        pytest.skip(
            "a template without tools: they are told in words, where transformers drops them"
        )
    messages = CONVERSATIONS[conversation]
    kwargs = {"add_generation_prompt": prompt, "enable_thinking": False}
    expected = _oracle(TEMPLATES[name], messages, tools=tools, **kwargs)
    assert _render(TEMPLATES[name], messages, tools or (), **kwargs) == expected


@pytest.mark.parity
@settings(max_examples=25)
@given(
    contents=st.lists(st.text(), min_size=1, max_size=4),
    documents=st.none() | st.just([{"a": "b"}]),
)
def test_any_text_equals_transformers(contents: list[str], documents: Any) -> None:
    roles = ["user", "assistant"] * 2
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    for source in TEMPLATES.values():
        expected = _oracle(source, messages, documents=documents, add_generation_prompt=True)
        assert _render(source, messages, documents=documents) == expected


@pytest.mark.parity
def test_the_clock_equals_transformers() -> None:
    source = '{{ strftime_now("%Y, century %C") }}'
    assert _render(source, CONVERSATIONS["one turn"]) == _oracle(source, CONVERSATIONS["one turn"])


ONE_TURN = Conversation([{"role": "user", "content": "Hi"}])


def test_a_missing_token_renders_as_nothing() -> None:
    template = ChatTemplate({"default": "[{{ bos_token }}]"}, process())
    assert template.render(ONE_TURN).plain == "[]"


def test_the_template_for_tools_is_picked_when_there_are_tools() -> None:
    sources = {"default": "plain {{ tools }}", "tool_use": "tools: {{ tools | length }}"}
    template = ChatTemplate(sources, process())
    assert template.render(replace(ONE_TURN, tools=TOOLS)).plain == "tools: 1"
    assert template.render(ONE_TURN).plain == "plain None"


def _render_folder(folder: Path, tools: Sequence[dict[str, Any]] = ()) -> str | None:
    sources = find_templates(folder)
    if not sources:
        return None
    return ChatTemplate(sources, process()).render(replace(ONE_TURN, tools=tools)).plain


def test_files_are_searched_in_order(tmp_path: Path) -> None:
    def write(name: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert _render_folder(tmp_path) is None
    write("tokenizer_config.json", {"chat_template": None})
    assert _render_folder(tmp_path) is None
    write("chat_template.json", {"chat_template": "old"})
    assert _render_folder(tmp_path) == "old"
    named = [
        {"name": "default", "template": "config"},
        {"name": "tool_use", "template": "config tools"},
    ]
    write("tokenizer_config.json", {"chat_template": named})
    assert _render_folder(tmp_path) == "config"
    assert _render_folder(tmp_path, tools=TOOLS) == "config tools"
    (tmp_path / "additional_chat_templates").mkdir()
    write("additional_chat_templates/tool_use.jinja", "file tools")
    assert _render_folder(tmp_path) == "config"
    assert _render_folder(tmp_path, tools=TOOLS) == "file tools"
    write("chat_template.jinja", "Grüße")
    assert _render_folder(tmp_path) == "Grüße"
    assert _render_folder(tmp_path, tools=TOOLS) == "file tools"


def test_templates_without_a_default_are_named(tmp_path: Path) -> None:
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("x", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"\(rag\), but no default"):
        ChatTemplate.from_folder(tmp_path)


@pytest.mark.parametrize(
    "value", [5, [5], ["x"], [{}], [{"name": "default"}], [{"name": [], "template": "x"}], {"a": 1}]
)
def test_a_malformed_entry_is_named(tmp_path: Path, value: Any) -> None:
    text = json.dumps({"chat_template": value})
    (tmp_path / "tokenizer_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"chat_template in .*tokenizer_config\.json must be"):
        ChatTemplate.from_folder(tmp_path)


def test_a_template_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja is not UTF-8"):
        ChatTemplate.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "ok\n{% if %}",
            "malformed in line 2: Expected an expression, got 'end of statement block'",
        ),
        ("{% for m in messages %}", "malformed in line 1: Unexpected end of template"),
        ("{{ a | no_such_filter }}", "malformed in line 1: No filter named 'no_such_filter'"),
        ("{% generation %}", "malformed in line 1"),
        ("{% include 'x' %}{% nonsense %}", "malformed in line 1: Encountered unknown tag"),
        ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "cannot be compiled: RecursionError"),
        ("{% if messages %}a{% endif %}" * 10_000, "has 290000 characters, more than 262144"),
    ],
)
def test_a_malformed_template_is_named(source: str, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ChatTemplate({"default": source})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_is_told_in_the_templates_words() -> None:
    messages = [{"role": "assistant", "content": "Hi"}]
    with pytest.raises(RequestError) as caught:
        _render(LLAMA_LIKE, messages)
    assert str(caught.value) == (
        "The model's chat template refuses this conversation: "
        "Conversation roles must alternate user/assistant/."
    )


def test_a_refusal_is_one_line_fit_for_a_terminal() -> None:
    with pytest.raises(RequestError) as caught:
        _render("{{ raise_exception('no\\n\\x1b[2J\\u202eway. ' * 1000) }}", [])
    assert "no noway. no" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].no_such_key.deeper }}",
        "{{ 'a' + 1 }}",
        "{{ 1 / 0 }}",
        "{{ no_such_name | tojson }}",
        "{{ raise_exception(no_such_name) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% include 'other.jinja' %}",
        "{{ strftime_now(5) }}",
    ],
)
def test_a_failing_template_is_a_request_error(source: str) -> None:
    with pytest.raises(RequestError, match=r"^The model's chat template (fails|refuses) .*\.$"):
        _render(source, CONVERSATIONS["one turn"])


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'].mro() }}",
        "{{ ('' | attr('__class__')).mro() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__ | length }}",
        "{{ lipsum.__globals__['os'] }}",
        "{{ namespace.__init__.__globals__.sys.exit() }}",
        "{{ raise_exception.__globals__.keys() }}",
        "{{ strftime_now.__globals__.json.codecs.open('/etc/passwd').read() }}",
        "{{ dict.__base__.__subclasses__() }}",
        "{{ dict.mro() }}",
        "{{ '{0.__class__.__mro__}'.format('').upper() }}",
        "{{ ('{0.__class__.__mro__}' | attr('format'))('').upper() }}",
        "{{ self._TemplateReference__context.environment.globals() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='system') }}",
        "{{ messages.clear() }}",
        "{{ range(10**9) | list }}",
    ],
)
def test_escapes_from_the_sandbox_are_refused(escape: str) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    with pytest.raises(RequestError):
        _render(escape, messages)
    assert messages == [{"role": "user", "content": "Hi"}]


def test_objects_with_methods_never_reach_a_template(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": tmp_path / "written"}]
    with pytest.raises(RequestError, match=r"JSON types only, not of \w*Path"):
        _render("{{ messages[0].content.write_text('x') }}", messages)
    assert list(tmp_path.iterdir()) == []


def test_a_message_nested_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RequestError, match="nested too deeply"):
        _render("x", [{"role": "user", "content": "Hi", "extra": endless}])


def test_the_output_is_bounded() -> None:
    source = "{% for i in range(100000) %}{% for j in range(100000) %}{{ filler }}{% endfor %}{% endfor %}"
    with pytest.raises(RequestError, match=f"more than {MAX_OUTPUT_CHARS} characters"):
        _render(source, [], filler="x" * 2**16)
