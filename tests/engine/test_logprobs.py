"""Log-probabilities with the texts of their tokens, beside the pieces of an answer they belong to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localfp4 import LLM, SamplingParams
from localfp4.messages import Delta, Request
from localfp4.text.token_names import TokenNames
from localfp4.text.tokenizer import Tokenizer
from tests.engine.traffic import run
from tests.text.conftest import BUILDERS
from tests.text.families import model

STORY: Any = [{"role": "user", "content": "Tell me a story about Ada and a boat."}]


@pytest.fixture(scope="module")
def demo(demo_folder: Path) -> Iterator[LLM]:
    with LLM(str(demo_folder), device="cpu", threads=1, max_model_len=256) as llm:
        yield llm


def deltas_of(llm: LLM, **sampling: Any) -> list[Delta]:
    params = SamplingParams(**{"temperature": 0, "max_tokens": 24, "logprobs": 3} | sampling)
    return list(llm.stream(STORY, params))


def check_alignment(deltas: list[Delta], count: int = 3) -> None:
    for delta in deltas:
        assert [one.token_id for one in delta.logprobs] == list(delta.token_ids)
        for one in delta.logprobs:
            assert len(one.top) == len(one.top_texts) == count
            spelled = dict(zip([token for token, _ in one.top], one.top_texts, strict=True))
            assert spelled.get(one.token_id, one.text) == one.text


def test_every_token_of_a_chat_comes_with_its_texts(demo: LLM) -> None:
    deltas = deltas_of(demo)
    check_alignment(deltas)
    assert sum(len(delta.logprobs) for delta in deltas) == 24
    text = "".join(d.text for d in deltas)
    assert "".join(one.text for d in deltas for one in d.logprobs) == text
    assert b"".join(one.raw for d in deltas for one in d.logprobs) == text.encode()
    for one in deltas[0].logprobs:
        assert [raw.decode() for raw in one.top_raw] == list(one.top_texts)
    check_alignment(deltas_of(demo, logprobs=0), count=0)
    assert not any(delta.logprobs for delta in deltas_of(demo, logprobs=None))


def test_text_that_is_held_back_for_a_stop_string_keeps_its_tokens_in_place(demo: LLM) -> None:
    whole = "".join(delta.text for delta in deltas_of(demo))
    held = f"{whole[10:30]}zzz"  # begins like the answer, and is none of it
    deltas = deltas_of(demo, stop=[held])
    check_alignment(deltas)
    assert any(delta.token_ids and not delta.text for delta in deltas)
    assert "".join(delta.text for delta in deltas) == whole
    stopped = deltas_of(demo, stop=[whole[10:30]])
    check_alignment(stopped)
    assert "".join(delta.text for delta in stopped) == whole[:10]


def test_the_token_that_ends_an_answer_is_told_apart(demo: LLM) -> None:
    plain = [one for delta in deltas_of(demo) for one in delta.logprobs]
    ids = [one.token_id for one in plain]
    last = next(place for place in range(4, 24) if ids[place] not in ids[:place])
    stop, engine = ids[last], demo._running()
    for logprobs, expected in ((3, plain[last]), (None, None)):
        sampling = SamplingParams(24, 0, stop_token_ids=[stop], logprobs=logprobs)
        request = Request(f"end-{logprobs}", messages=tuple(STORY), sampling=sampling)
        finished = run(engine, [request])[request.id].finished
        assert finished is not None
        assert (finished.reason, finished.stopped_by) == ("stop", stop)
        if expected is None:
            assert finished.end_logprob is None
        else:
            assert finished.end_logprob is not None
            assert finished.end_logprob.text == expected.text
            assert finished.end_logprob.logprob == pytest.approx(expected.logprob, abs=1e-4)


def test_accepted_guesses_have_their_log_probabilities(demo: LLM, demo_folder: Path) -> None:
    plain = deltas_of(demo, max_tokens=60)
    options: dict[str, Any] = {"device": "cpu", "threads": 1, "max_model_len": 256}
    with LLM(str(demo_folder), speculation="ngram", **options) as guessing:
        repeated = [
            *STORY,
            {"role": "assistant", "content": "".join(d.text for d in plain)},
            *STORY,
        ]
        params = SamplingParams(temperature=0, max_tokens=40, logprobs=3)
        deltas = list(guessing.stream(repeated, params))
        assert guessing._running().stats().accepted_tokens > 0
    check_alignment(deltas)
    expected = [one for d in demo.stream(repeated, params) for one in d.logprobs]
    got = [one for delta in deltas for one in delta.logprobs]
    assert [one.text for one in got] == [one.text for one in expected]
    values = [one.logprob for one in expected]
    assert [one.logprob for one in got] == pytest.approx(values, abs=1e-3)


def test_control_tokens_are_spelled_by_their_names() -> None:
    tokenizer = model("qwen3").tokenizer
    names = TokenNames(tokenizer)
    for name in ("<|im_end|>", "<think>"):
        [token_id] = model("qwen3").ids(name)
        assert names[token_id] == (name, name.encode())
    assert names[10**6] == ("", b"")
    assert len(names) == 3


@pytest.mark.parametrize("kind", ["byte-level", "llama-2", "gemma", "metaspace", "word-piece"])
def test_tokens_spell_what_they_stand_for(kind: str) -> None:
    tokenizer = Tokenizer(BUILDERS[kind]())
    names = TokenNames(tokenizer)
    spelled = [names[id_].text for id_ in tokenizer.encode("the token", add_special_tokens=False)]
    assert "".join(spelled).split() in (["the", "token"], ["thetoken"])  # WordPiece has no blanks


@pytest.mark.parametrize("kind", ["byte-level", "llama-2"])
def test_bytes_that_are_no_character_are_shown_as_such(kind: str) -> None:
    tokenizer = Tokenizer(BUILDERS[kind]())
    names = TokenNames(tokenizer)
    ids = tokenizer.encode("\U0001f9ea", add_special_tokens=False)[-3:]
    assert len(ids) == 3
    assert {names[token_id].text for token_id in ids} == {"\ufffd"}
    assert "\U0001f9ea".encode().endswith(b"".join(names[token_id].raw for token_id in ids))
