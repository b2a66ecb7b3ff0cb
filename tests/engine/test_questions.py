"""Questions over the pipe that are no requests: who gets which reply, refusals, deaths."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localfp4.config import EngineConfig
from localfp4.engine.client import EngineClient
from localfp4.engine.protocol import Decode, Question, Refused, Replied
from localfp4.engine.questions import Questions
from localfp4.errors import ContextError, EngineDiedError, RequestError
from localfp4.messages import Delta, Request


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EngineClient]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    client = EngineClient(EngineConfig("echo"), loader="fake_engine:load_engine")
    yield client
    client.close()


def test_replies_find_who_asked_in_whatever_order_they_come() -> None:
    asked: list[Question] = []
    questions = Questions(asked.append)
    with ThreadPoolExecutor() as pool:
        replies = [pool.submit(questions.texts, [n]) for n in range(4)]
        while len(asked) < 4:
            pass
        for question in reversed(asked):
            assert isinstance(question, Decode)
            [token] = question.token_ids
            questions.deliver(Replied(question.number, texts=(f"token {token}",)))
        assert [one.result(20) for one in replies] == [[f"token {n}"] for n in range(4)]
        refused = pool.submit(questions.decode, [5])
        while len(asked) < 5:
            pass
        questions.deliver(Refused(asked[-1].number, "ContextError", "Too long."))
        with pytest.raises(ContextError, match=r"Too long\."):
            refused.result(20)
        broken_off = pool.submit(questions.count, ["a"])
        while len(asked) < 6:
            pass
        questions.end("It was killed.")
        with pytest.raises(EngineDiedError, match="killed"):
            broken_off.result(20)
    with pytest.raises(EngineDiedError, match="killed"):
        questions.encode(Request("late", prompt="a"))
    assert questions.count([]) == []


def test_a_client_asks_while_answers_are_written(client: EngineClient) -> None:
    with pytest.raises(EngineDiedError, match="not running"):
        client.decode([1])
    list(client.load())
    events = client.stream(Request("long", prompt="repeat 100000"))
    next(events)
    assert client.encode(Request("", prompt="ab")) == [97, 98]
    assert client.decode([97, 98]) == "ab"
    assert client.texts([97, 98]) == ["a", "b"]
    assert client.texts([]) == []
    assert isinstance(next(events), Delta)
    with pytest.raises(RequestError, match="no tokenizer"):
        client.encode(Request("", prompt="refuse"))
    with pytest.raises(RequestError, match="Token id -1"):
        client.decode([97, -1])
    assert isinstance(next(events), Delta)
    with pytest.raises(EngineDiedError, match="tokenizer went wrong"):
        client.encode(Request("", prompt="crash"))
