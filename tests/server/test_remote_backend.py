"""A chat over a real server of the demo: what one half of this program says, the other understands."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from localfp4.backend.remote import RemoteBackend
from localfp4.config import SamplingParams
from localfp4.messages import Constraint, Delta, Failed, Finished, Request, Started
from localfp4.remote.address import parse_address
from tests.server.server_process import server

pytestmark = pytest.mark.slow

ASKED = Request(
    "1",
    messages=({"role": "user", "content": "What is NVFP4?"},),
    sampling=SamplingParams(max_tokens=20, temperature=0.0, logprobs=2),
)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteBackend]:
    with server(tmp_path_factory.mktemp("state"), "demo", is_real=True) as one:
        assert [one.says(), one.says()] == ["loading", "ready"]
        with closing(RemoteBackend(parse_address(one.url))) as backend:
            list(backend.load())
            yield backend


def test_it_tells_its_name_its_context_and_counts_tokens(backend: RemoteBackend) -> None:
    info = backend.info()
    assert (info.name, info.max_model_len, info.notes) == ("demo", 1024, ())
    assert info.server.startswith("localfp4 at 127.0.0.1:")
    assert backend.count_tokens(["Hello world", ""]) == [3, 0]


def test_answers_come_with_figures_and_probabilities(backend: RemoteBackend) -> None:
    started, *deltas, finished = backend.stream(ASKED)
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.prompt_tokens, finished.output_tokens) == ("length", 13, 20)
    told = [delta for delta in deltas if isinstance(delta, Delta)]
    assert sum(len(delta.token_ids) for delta in told) == 20
    spelled = b"".join(one.raw for delta in told for one in delta.logprobs)
    assert spelled.decode() == "".join(delta.text for delta in told)
    assert all(len(one.top) == 2 for delta in told for one in delta.logprobs)


def test_cancelling_ends_the_answer_there(backend: RemoteBackend) -> None:
    events = []
    for event in backend.stream(replace(ASKED, id="2", sampling=SamplingParams(max_tokens=900))):
        events.append(event)
        if len(events) == 5:
            backend.cancel("2")
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.output_tokens < 900) == ("cancelled", True)


def test_answers_are_gone_on_with_and_held_to_a_form(backend: RemoteBackend) -> None:
    begun = (*(ASKED.messages or ()), {"role": "assistant", "content": "NVFP4 stores"})
    request = replace(ASKED, messages=begun, continues=True)  # type: ignore[arg-type]
    events = list(backend.stream(request))
    assert "".join(one.text for one in events if isinstance(one, Delta)).startswith(" numbers")
    formed = replace(ASKED, thinking=False, constraint=Constraint("regex", "[0-9]{3}"))
    said = "".join(one.text for one in backend.stream(formed) if isinstance(one, Delta))
    assert len(said) == 3
    assert said.isdecimal()


def test_what_the_server_refuses_is_told_in_its_words(backend: RemoteBackend) -> None:
    long = replace(ASKED, messages=({"role": "user", "content": "word " * 3000},))
    failed = list(backend.stream(long))[-1]
    assert isinstance(failed, Failed)
    assert "1024" in failed.message
