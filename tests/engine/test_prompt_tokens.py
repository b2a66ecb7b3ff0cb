"""What prompts and tokens are, asked without a request: long ones, empty ones, none."""

from typing import Any

import pytest

from localfp4.engine.prompt import PromptEncoder
from localfp4.engine.protocol import Decode, Encode, Refused, Replied
from localfp4.engine.replies import reply
from localfp4.errors import ContextError, RequestError
from localfp4.messages import ChatMessage, Request
from localfp4.text.tokenizer import Tokenizer
from tests.text.families import model

TALK = (ChatMessage(role="user", content="Why is the sky blue? 🐈"),)


@pytest.fixture(scope="module")
def prompts() -> PromptEncoder:
    tiny = model("qwen3")
    return PromptEncoder(tiny.tokenizer, tiny.template, tiny.tokenizer.vocab_size, 8)


def test_a_prompt_is_encoded_whole_whatever_the_context_holds(prompts: PromptEncoder) -> None:
    talk = Request("talk", messages=TALK)
    with pytest.raises(ContextError):
        prompts.encode(talk)
    ids = prompts.token_ids(talk)
    assert len(ids) > 8
    assert prompts.decode(ids) == prompts.render(talk)
    assert "<|im_start|>" in prompts.texts(ids), "control tokens have their names"
    assert prompts.token_ids(Request("", prompt="")) == []
    assert prompts.token_ids(Request("", token_ids=(3, 4))) == [3, 4]


def test_each_token_spells_something_by_itself(prompts: PromptEncoder) -> None:
    ids = prompts.token_ids(Request("", prompt="a cat 🐈"))
    texts = prompts.texts(ids)
    assert len(texts) == len(ids)
    assert "\ufffd" in texts[-1], "a byte of a character"
    assert prompts.decode(ids) == "a cat 🐈"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"token_ids": (1, 10**9)}, "Token id 1000000000 is not in the vocabulary"),
        ({"token_ids": (-1, 2)}, "Token id -1"),
        ({"messages": ({"role": "wizard", "content": "a"},)}, "role of a message"),
    ],
)
def test_what_has_no_tokens_is_refused(
    prompts: PromptEncoder, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        prompts.token_ids(Request("", **request_))
    said = reply(Encode(7, Request("", **request_)), prompts)
    assert isinstance(said, Refused)
    assert (said.number, said.kind) == (7, "RequestError")


def test_text_needs_a_tokenizer(prompts: PromptEncoder) -> None:
    bare = PromptEncoder(None, None, 10, 10)
    assert bare.token_ids(Request("", token_ids=(3, 4))) == [3, 4]
    for ask in (
        lambda: bare.count("text"),
        lambda: bare.token_ids(Request("", prompt="text")),
        lambda: bare.decode([1]),
        lambda: bare.texts([1]),
    ):
        with pytest.raises(RequestError, match="no tokenizer"):
            ask()
    for alone in (False, True):
        said = reply(Decode(1, (1, prompts.vocab_size), alone), prompts)
        assert isinstance(said, Refused)
        assert "vocabulary" in said.message
    assert reply(Decode(2, (), alone=True), prompts) == Replied(2)


def test_what_is_far_too_long_is_refused_before_all_of_it_is_encoded(
    prompts: PromptEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    count = Tokenizer.count

    def counting(tokenizer: Tokenizer, text: str) -> int:
        counted.append(text)
        return count(tokenizer, text)

    monkeypatch.setattr(Tokenizer, "count", counting)
    long = "Some words. " * 40_000
    for request in (
        Request("1", prompt=long),
        Request("1", messages=({"role": "user", "content": long},)),
    ):
        counted.clear()
        with pytest.raises(ContextError, match=f"more than {prompts.max_context} tokens"):
            prompts.encode(request)
        assert sum(map(len, counted)) < 40_000
    counted.clear()
    assert prompts.encode(Request("1", prompt="Hi"))
    assert not counted, "what may fit is encoded at once"
