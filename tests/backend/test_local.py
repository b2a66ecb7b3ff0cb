"""One engine at a time: switching, failing, closing and asking from several threads."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing import active_children
from pathlib import Path

import pytest

from localfp4.backend.local import LocalBackend
from localfp4.config import EngineConfig
from localfp4.errors import EngineDiedError, ModelNotFoundError, RequestError, UserError
from localfp4.messages import Delta, ModelInfo, Request
from localfp4.reports import Choice


@pytest.fixture(autouse=True)
def _fake_engine_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engine"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def backend() -> Iterator[LocalBackend]:
    made = LocalBackend(
        EngineConfig("echo", max_model_len=64),
        sampling={"temperature": 0.1},
        thinking={"thinking": False},
        aliases={"small": "tiny"},
        loader="fake_engine:load_engine",
    )
    yield made
    made.close()


def said(backend: LocalBackend, text: str) -> str:
    request = Request("r", messages=({"role": "user", "content": text},))
    return "".join(e.text for e in backend.stream(request) if isinstance(e, Delta))


def test_another_model_takes_the_place_of_the_first(backend: LocalBackend) -> None:
    assert backend.choice() == Choice("echo")
    list(backend.load())
    [first] = active_children()
    assert backend.info().sampling.temperature == 0.1
    assert "thinking=False" in said(backend, "thinking?")
    seen = [(backend.alive(), step.stage) for step in backend.load(Choice("Small", context=32))]
    assert len(seen) > 1
    assert not first.is_alive()
    assert len(active_children()) == 1
    assert backend.choice() == Choice("tiny", context=32)
    assert (backend.info().name, backend.info().max_model_len) == ("tiny", 32)
    list(backend.load(Choice("other")))
    assert backend.info().max_model_len == 64
    list(backend.load())
    assert backend.info().name == "other"


def test_a_choice_that_fails_is_what_a_retry_loads_and_the_way_back_works(
    backend: LocalBackend,
) -> None:
    list(backend.load())
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="no model named 'missing'"):
            list(backend.load(Choice("missing")))
        assert backend.choice() == Choice("missing")
        assert not backend.alive()
        with pytest.raises(EngineDiedError):
            backend.info()
    with pytest.raises(ModelNotFoundError):
        list(backend.load())
    list(backend.load(Choice("echo")))
    assert said(backend, "back again") == "back again"


def test_a_choice_that_cannot_be_ends_nothing(backend: LocalBackend) -> None:
    list(backend.load())
    with pytest.raises(RequestError, match="precision"):
        list(backend.load(Choice("other", precision="w2a2")))
    assert backend.choice() == Choice("echo")
    assert said(backend, "still here") == "still here"


def test_asking_during_a_switch_never_crashes(backend: LocalBackend) -> None:
    list(backend.load())
    ended, wrong = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            try:
                backend.stats()
                backend.alive()
                backend.gauges()
                backend.cancel("r")
                with suppress(UserError):
                    backend.info()
                with suppress(UserError):
                    said(backend, "hello")
            except Exception as error:  # noqa: BLE001 - any is wrong
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name in ("a", "missing", "b"):
        with suppress(UserError):
            list(backend.load(Choice(name)))
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert backend.info().name == "b"


def test_a_load_that_is_overtaken_ends_and_leaves_one_engine(backend: LocalBackend) -> None:
    steps = backend.load(Choice("endless"))
    next(steps)
    next(steps)
    list(backend.load(Choice("echo")))
    with pytest.raises(EngineDiedError):
        list(steps)
    assert len(active_children()) == 1
    assert backend.info().name == "echo"


def test_closing_ends_a_load_under_way(backend: LocalBackend) -> None:
    steps = backend.load(Choice("endless"))
    next(steps)
    next(steps)
    backend.close()
    with pytest.raises(EngineDiedError):
        list(steps)
    assert active_children() == []
    backend.close()
    assert backend.stats() is None


def test_two_models_are_asked_and_the_first_is_there_again(backend: LocalBackend) -> None:
    list(backend.load())
    request = Request("c", messages=({"role": "user", "content": "which one"},))
    told = list(backend.compare(request, [Choice("echo"), Choice("small")]))
    texts = ["", ""]
    for one in told:
        if isinstance(one.news, Delta):
            texts[one.side] += one.news.text
    assert texts == ["which one", "which one"]
    names = [one.news.name for one in told if isinstance(one.news, ModelInfo)]
    assert names == ["echo", "tiny"]
    assert (backend.choice(), backend.info().name) == (Choice("echo"), "echo")
    with closing(backend.compare(request, [Choice("tiny")])) as comparison:
        next(comparison)
    assert not backend.alive()
    assert backend.choice() == Choice("echo")


def test_a_folder_that_was_loaded_is_listed(backend: LocalBackend, fixtures: Path) -> None:
    folder = str(fixtures / "m_qwen3")
    list(backend.load(Choice(folder)))
    assert folder in [entry.name for entry in backend.models()]
