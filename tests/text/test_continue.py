"""Answers that are gone on with: their prompts against transformers, and what is read then."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Request
from localfp4.text.answer_reader import chat_reader
from localfp4.text.chat import ChatEncoder
from localfp4.text.conversation import Conversation
from localfp4.text.parsers.parser import Content, Piece, Reasoning, Tools, joined
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer
from tests.text.conftest import BUILDERS, build_byte_level
from tests.text.families import FAMILIES, WEATHER, Model, called, model, process

transformers = pytest.importorskip("transformers")

SYSTEM = ChatMessage(role="system", content="Be brief.")
QUESTION = ChatMessage(role="user", content="Weather in Köln?")
CONTENTS = ("It rai", "It rains.", "Rain: ", "Two lines\n\n", " indented")
THOUGHTS = ("I have to lo", "It says:\n\n")
DROPS_THOUGHTS = ("gemma4", "llama3", "mistral_list")
"""Families whose templates leave out what an answer without calls had thought."""


def answer(content: str, reasoning: str | None = None) -> ChatMessage:
    message = ChatMessage(role="assistant", content=content)
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    return message


def unfinished(*messages: ChatMessage, **fields: Any) -> Conversation:
    return Conversation(messages, continues=True, **fields)


def by_transformers(tiny: Model, messages: list[Any], field: str) -> list[int]:
    """Return the prompt of transformers, with the blanks at its end that it strips."""
    family = tiny.family
    oracle = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tiny.tokenizer._backend,
        bos_token=family.bos,
        eos_token=family.eos,
        chat_template=family.source,
    )
    text: str = oracle.apply_chat_template(messages, tokenize=False, continue_final_message=field)
    broken_off = messages[-1][field]
    if not text.endswith(broken_off.lstrip()):
        text += broken_off[len(broken_off.rstrip()) :]
    ids: list[int] = oracle(text, add_special_tokens=False)["input_ids"]
    return ids


@pytest.mark.parity
@pytest.mark.parametrize("reasoning", [None, "As it says."], ids=["no thought", "thought"])
@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_equal_transformers(name: str, reasoning: str | None) -> None:
    tiny = model(name)
    for content in CONTENTS:
        messages = [SYSTEM, QUESTION, answer("Sun."), QUESTION, answer(content, reasoning)]
        ids = tiny.encoder.encode(unfinished(*messages))
        assert ids == by_transformers(tiny, messages, "content")
        assert tiny.tokenizer.decode(ids).endswith(content.lstrip())
        new = tiny.encoder.encode(Conversation(messages))
        assert ids != new  # which begins another answer


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in DROPS_THOUGHTS])
def test_thoughts_equal_transformers(name: str) -> None:
    tiny = model(name)
    for thought in THOUGHTS:
        messages = [QUESTION, answer("", thought)]
        ids = tiny.encoder.encode(unfinished(*messages))
        assert ids == by_transformers(tiny, messages, "reasoning_content")


def test_a_thought_that_the_template_drops_is_opened_as_the_model_does() -> None:
    tiny = model("gemma4")
    asked = tiny.render(Conversation([QUESTION], thinking=True))
    for chosen in (None, True, False):
        ids = tiny.encoder.encode(unfinished(QUESTION, answer("", "I <turn|> lo"), thinking=chosen))
        text = tiny.tokenizer.decode(ids, skip_special_tokens=False)
        assert text == f"{asked}<|channel>thought\nI <turn|> lo"
        [end] = tiny.ids("<turn|>")
        assert ids.count(end) == asked.count("<turn|>")  # the thought's own is text
    with pytest.raises(RequestError, match="leaves out or changes"):
        model("llama3").encoder.encode(unfinished(QUESTION, answer("", "I lo")))


R1 = (
    "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}{% else %}"
    "<|im_end|>{{ m.content.split('</think>')[-1] }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|><think>\n{% endif %}"
)
"""As DeepSeek-R1's: the prompt opens a thought, and earlier ones are dropped."""


def test_a_thought_that_the_prompt_opens_goes_on_behind_it() -> None:
    tiny = model("qwen3")
    regions = tiny.answer_format.reasoning if tiny.answer_format else ()
    encoder = ChatEncoder(tiny.tokenizer, ChatTemplate({"default": R1}, process()), regions)
    ids = encoder.encode(unfinished(QUESTION, answer("", "I lo\ud800")))
    expected = f"<|im_start|>{QUESTION['content']}<|im_end|><think>\nI lo\ufffd"
    assert ids == tiny.tokenizer.encode(expected, add_special_tokens=False)


REST: dict[str, tuple[str, str]] = {
    "qwen3": ("ok.\n</think>\n\n", "Rain"),
    "qwen3_5": ("ok.\n</think>\n\n", "Rain"),
    "nemotron3": ("ok.\n</think>", "Rain"),
    "gemma4": ("ok.<channel|>", "Rain"),
    "gpt_oss": ("ok.<|end|><|start|>assistant<|channel|>final<|message|>", "Rain"),
    "mistral": ("ok.[/THINK]", "Rain"),
    "lfm2_5": ("ok.</think>", "Rain"),
    "glm4": ("ok.</think>", "Rain"),
}
"""How a thought goes on and ends in each family, and the answer after it."""


def read(tiny: Model, conversation: Conversation, text: str) -> list[Piece]:
    """Read what comes after a prompt."""
    prompt = tiny.encoder.encode(conversation)
    reader = chat_reader(
        tiny.tokenizer,
        tiny.answer_format,
        Tools.from_schemas(conversation.tools),
        prompt,
        conversation.breaks_off_in,
    )
    pieces: list[Piece] = []
    for token in tiny.tokenizer.encode(text, add_special_tokens=False):
        pieces += reader.add(token)
    return joined([*pieces, *reader.end()])


@pytest.mark.parametrize("name", FAMILIES)
def test_content_is_gone_on_with_as_content(name: str) -> None:
    tiny = model(name)
    for tools in ((), (WEATHER,)):
        for text in ("\nit", " {1}", '{"name": "weather", "parameters": {}}', "ns."):
            conversation = unfinished(QUESTION, answer("It rai"), tools=tools)
            assert read(tiny, conversation, text) == [Content(text)]


@pytest.mark.parametrize("name", REST)
def test_a_thought_is_gone_on_with_and_ends(name: str) -> None:
    rest, content = REST[name]
    conversation = unfinished(QUESTION, answer("", "I have to lo"))
    pieces = read(model(name), conversation, rest + content)
    assert pieces == [Reasoning("ok."), Content(content)]
    [piece] = read(model(name), conversation, "\n\nthought\n on\n")
    assert piece == Reasoning("\n\nthought\n on\n")


@pytest.mark.parametrize("name", REST)
@settings(max_examples=10)
@given(cut=st.integers(1, 40))
def test_a_thought_cut_anywhere_comes_together(name: str, cut: int) -> None:
    """What was read before and after the cut is what is read in one go."""
    tiny, thought = model(name), "First.\n\nThen\nthis, and\n\n\nthat is\nall"
    asked = Conversation([QUESTION], thinking=True)
    broken = unfinished(QUESTION, answer("", thought[:cut]), thinking=True)
    begun, opened = (
        tiny.tokenizer.decode(tiny.encoder.encode(each), skip_special_tokens=False)
        for each in (asked, broken)
    )
    assert opened.startswith(begun)
    before = read(tiny, asked, opened.removeprefix(begun))
    assert before == [Reasoning(thought[:cut])]
    after = read(tiny, broken, thought[cut:])
    assert joined([*before, *after]) == [Reasoning(thought)]


def test_stopping_in_a_tool_call_is_content_that_goes_on_as_text() -> None:
    tiny = model("qwen3")
    broken = unfinished(QUESTION, answer('Look: <tool_call>{"na'), tools=[WEATHER])
    ids = tiny.encoder.encode(broken)
    [opens] = tiny.ids("<tool_call>")
    assert ids.count(opens) == tiny.encoder.encode(Conversation([QUESTION], [WEATHER])).count(opens)
    assert read(tiny, broken, 'me": 1}') == [Content('me": 1}')]


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_seam_neither_loses_nor_adds_a_blank(kind: str) -> None:
    """Some tokenizers write a word at the beginning of a text without the blank before it."""
    tokenizer = Tokenizer(BUILDERS[kind]())
    template = ChatTemplate(
        {"default": "{% for m in messages %}{{ m.content }}{% endfor %}"}, process()
    )
    encoder = ChatEncoder(tokenizer, template)
    whole = "the token the tokens the one two"
    for cut in range(1, len(whole)):
        prompt = encoder.encode(unfinished(QUESTION, answer(whole[:cut])))
        reader = chat_reader(tokenizer, None, Tools.from_schemas(()), prompt, "content")
        ids = tokenizer.encode(QUESTION["content"] + whole, add_special_tokens=False)
        if ids[: len(prompt)] != prompt:
            continue  # cut within a token
        rest = [piece for token in ids[len(prompt) :] for piece in reader.add(token)]
        text = "".join(piece.text for piece in rest if isinstance(piece, Content))
        both = tokenizer.decode(ids)
        assert both == tokenizer.decode(prompt) + text


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([QUESTION], "the last message is none"),
        ([QUESTION, answer("")], "to go on with is empty"),
        ([QUESTION, answer(" \n")], "to go on with is empty"),
        ([QUESTION, answer("", "")], "to go on with is empty"),
        (
            [QUESTION, answer("a") | {"tool_calls": [called("weather", {})]}],
            "calls tools cannot be gone on with",
        ),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(messages: list[Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        unfinished(*messages).check()


def test_only_conversations_can_be_gone_on_with() -> None:
    with pytest.raises(RequestError, match="only conversations"):
        Request("one", prompt="Once", continues=True)


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages[:-1] %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content[:3] }}{% endfor %}",
        "{% for m in messages %}{{ m.content | replace('rai', '') }}{% endfor %}",
    ],
    ids=["left out", "upper case", "cut", "replaced"],
)
def test_templates_that_change_the_answer_are_told_of(source: str) -> None:
    template = ChatTemplate({"default": source}, process())
    encoder = ChatEncoder(Tokenizer(build_byte_level()), template)
    with pytest.raises(RequestError, match="leaves out or changes the answer"):
        encoder.encode(unfinished(QUESTION, answer("It rai")))


def test_templates_that_always_begin_an_answer_are_cut_off() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    template = ChatTemplate({"default": source}, process())
    tokenizer = Tokenizer(build_byte_level())
    ids = ChatEncoder(tokenizer, template).encode(unfinished(QUESTION, answer("It rai ")))
    assert tokenizer.decode(ids) == "user: Weather in Köln?\nassistant: It rai "


@settings(max_examples=25)
@given(content=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_answer_is_at_the_end_of_its_prompt(content: str) -> None:
    tiny = model("qwen3")
    conversation = unfinished(QUESTION, answer(content))
    ids = tiny.encoder.encode(conversation)
    text = tiny.tokenizer.decode(ids, skip_special_tokens=False)
    assert text.endswith(content)
