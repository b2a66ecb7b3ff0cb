"""The engine process seen through its client: streams, deaths, restarts and endings."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from localfp4.config import EngineConfig
from localfp4.engine.client import EngineClient
from localfp4.errors import CheckpointError, EngineDiedError, ModelNotFoundError, UserError
from localfp4.messages import Delta, Event, Failed, Finished, Request, Started

LOADER = "fake_engine:load_engine"
PROMPTLY_S = 20.0


@pytest.fixture(autouse=True)
def _fake_engine_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def _module_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield


@pytest.fixture(scope="module")
def shared(_module_path: None) -> Iterator[EngineClient]:
    """One engine for the tests that leave it alive."""
    client = _loaded("echo")
    yield client
    client.close()


@pytest.fixture
def own() -> Iterator[EngineClient]:
    """An engine for a test that kills it."""
    client = _loaded("echo")
    yield client
    client.close()


def _client(model: str, loader: str = LOADER) -> EngineClient:
    return EngineClient(EngineConfig(model), loader=loader)


def _loaded(model: str) -> EngineClient:
    client = _client(model)
    list(client.load())
    return client


def _request(request_id: str, prompt: str) -> Request:
    return Request(request_id, prompt=prompt)


def _text(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, Delta))


def _engine_pid(client: EngineClient) -> int:
    assert client._link is not None
    pid = client._link._process.pid
    assert pid is not None
    return pid


def _process_exists(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():  # a process that nobody has waited for is gone all the same
        return stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PROMPTLY_S
    while _process_exists(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_loading_reports_progress_then_the_model() -> None:
    client = _client("echo")
    try:
        stages = [(p.stage, p.done_bytes) for p in client.load()]
        assert stages == [
            ("starting the engine", 0),
            ("Reading weights", 1),
            ("Reading weights", 2),
        ]
        assert client.info().name == "echo"
        assert client.alive()
    finally:
        client.close()


@pytest.mark.parametrize(
    ("model", "kind", "sentence"),
    [
        ("missing", ModelNotFoundError, "There is no model named 'missing'."),
        ("damaged", CheckpointError, "model.safetensors is truncated."),
    ],
)
def test_a_user_error_while_loading_arrives_as_the_same_class(
    model: str, kind: type[UserError], sentence: str
) -> None:
    client = _client(model)
    with pytest.raises(kind) as caught:
        list(client.load())
    assert type(caught.value) is kind
    assert str(caught.value) == sentence
    assert not client.alive()


def test_a_bug_while_loading_is_told_in_one_line_that_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        list(_client("buggy").load())
    assert "RuntimeError: boom" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "engine.log" in str(caught.value)
    if sys.platform == "linux":
        (log,) = tmp_path.rglob("engine.log")
        assert "Traceback" in log.read_text(encoding="utf-8")


def test_what_an_engine_prints_goes_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = _loaded("chatty")
    client.close()
    assert capfd.readouterr() == ("", "")
    if sys.platform.startswith("linux"):
        (log,) = tmp_path.rglob("engine.log")
        assert "chatter on stdout" in log.read_text(encoding="utf-8")


def test_a_full_screen_application_may_replace_standard_error_before_loading() -> None:
    """In a process of its own, whose multiprocessing has started nothing yet."""
    script = (
        "import io, sys\n"
        "from localfp4.config import EngineConfig\n"
        "from localfp4.engine.client import EngineClient\n"
        "class Capture(io.StringIO):\n"
        "    def fileno(self):\n"
        "        return -1\n"
        "if __name__ == '__main__':\n"
        f"    client = EngineClient(EngineConfig('echo'), loader={LOADER!r})\n"
        "    sys.stderr = Capture()\n"
        "    list(client.load())\n"
        "    client.close()\n"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_too_little_memory_while_loading_is_said_so() -> None:
    with pytest.raises(UserError, match="not enough memory to load huge"):
        list(_client("huge").load())


def test_a_loader_that_does_not_exist_is_reported_not_hung() -> None:
    with pytest.raises(UserError, match="ModuleNotFoundError"):
        list(_client("echo", loader="no.such.module:load").load())


def test_a_crash_while_loading_is_reported_not_hung() -> None:
    with pytest.raises(EngineDiedError, match=r"SIGABRT|exit code"):
        list(_client("fatal").load())


def test_leaving_the_loading_early_ends_the_process() -> None:
    client = _client("endless")
    loading = client.load()
    assert [next(loading).stage for _ in range(3)][-1] == "Reading weights"
    pid = _engine_pid(client)
    loading.close()
    _wait_until_gone(pid)
    assert not client.alive()


def test_closing_from_another_thread_ends_the_loading() -> None:
    client = _client("endless")
    loading = client.load()
    next(loading), next(loading)
    closer = threading.Thread(target=client.close)
    closer.start()
    with pytest.raises(EngineDiedError, match="closed"):
        list(loading)
    closer.join()


def test_a_stream_starts_speaks_and_finishes(shared: EngineClient) -> None:
    events = list(shared.stream(_request("a", "one two three")))
    assert events[0] == Started("a", 4)
    assert _text(events) == "plain one two three"
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stop"


def test_a_refused_request_fails_and_leaves_the_engine_alive(shared: EngineClient) -> None:
    assert list(shared.stream(_request("a", "refuse"))) == [
        Failed("a", "The prompt is longer than the context.")
    ]
    assert _text(list(shared.stream(_request("b", "fine")))) == "plain fine"


def test_cancelling_ends_the_stream_and_keeps_what_came(shared: EngineClient) -> None:
    events = []
    for event in shared.stream(_request("a", "repeat 5000")):
        events.append(event)
        if len(events) == 4:
            shared.cancel("a")
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "cancelled"
    assert _text(events).startswith("again again")


def test_cancelling_what_does_not_run_is_ignored(shared: EngineClient) -> None:
    shared.cancel("nobody")
    assert _text(list(shared.stream(_request("a", "fine")))) == "plain fine"


def test_closing_a_stream_early_cancels_it_in_the_engine(shared: EngineClient) -> None:
    events = shared.stream(_request("left", "repeat 100000"))
    next(events), next(events)
    events.close()
    list(shared.stream(_request("after", "one two")))
    _wait_for_idle(shared)


def _wait_for_idle(client: EngineClient) -> None:
    deadline = time.monotonic() + PROMPTLY_S
    while (stats := client.stats()) is None or stats.running:
        assert time.monotonic() < deadline, f"still running: {stats}"
        time.sleep(0.02)


def test_stats_say_decode_while_working_and_idle_afterwards(shared: EngineClient) -> None:
    phases = set()
    for _ in shared.stream(_request("a", "repeat 300")):
        stats = shared.stats()
        assert stats is not None
        phases.add(stats.phase)
    assert "decode" in phases
    _wait_for_idle(shared)


def test_what_is_submitted_goes_to_an_inbox_up_to_its_end(shared: EngineClient) -> None:
    inbox: SimpleQueue[Event | None] = SimpleQueue()
    shared.submit(_request("a", "one two"), inbox)
    shared.submit(_request("b", "repeat 100000"), inbox)
    with pytest.raises(UserError, match="'b' is running already"):
        shared.submit(_request("b", "x"), inbox)
    by_id: dict[str, list[Event]] = {"a": [], "b": []}
    while not any(isinstance(event, Finished) for event in by_id["b"]):
        event = inbox.get(timeout=PROMPTLY_S)
        assert event is not None
        by_id[event.id].append(event)
        if len(by_id["b"]) == 3:
            shared.cancel("b")
    assert _text(by_id["a"]) == "plain one two"
    assert [type(by_id[name][0]) for name in "ab"] == [Started, Started]
    shared.submit(_request("a", "the id is free again"), inbox)
    assert inbox.get(timeout=PROMPTLY_S) == Started("a", 6)
    assert shared.death() == ""


def test_a_stream_that_is_left_after_its_end_spares_the_next_of_its_id(
    shared: EngineClient,
) -> None:
    before = shared.stream(_request("heir", "one"))
    while not isinstance(next(before), Finished):
        pass
    inbox: SimpleQueue[Event | None] = SimpleQueue()
    shared.submit(_request("heir", "repeat 2000"), inbox)
    before.close()
    while not isinstance(event := inbox.get(timeout=PROMPTLY_S), Finished):
        assert event is not None
    assert event.reason != "cancelled"


def test_inboxes_hear_of_the_death_of_the_engine(own: EngineClient) -> None:
    inbox: SimpleQueue[Event | None] = SimpleQueue()
    own.submit(_request("a", "repeat 100000"), inbox)
    own.submit(_request("b", "crash"), SimpleQueue())
    while inbox.get(timeout=PROMPTLY_S) is not None:
        pass
    assert "a kernel went wrong" in own.death()
    with pytest.raises(EngineDiedError, match="a kernel went wrong"):
        own.submit(_request("c", "x"), inbox)
    assert inbox.empty()
    own.close()
    assert "not running" in own.death()


def test_many_threads_stream_and_cancel_without_mixing_answers(shared: EngineClient) -> None:
    def converse(number: int) -> tuple[str, str]:
        words = " ".join(f"w{number}" for _ in range(20 + number % 7))
        events = []
        for event in shared.stream(_request(f"r{number}", words)):
            events.append(event)
            if number % 3 == 0 and len(events) == 5:
                shared.cancel(f"r{number}")
        assert {e.id for e in events} == {f"r{number}"}
        assert isinstance(events[-1], Finished)
        return _text(events), f"plain {words}"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(converse, range(64)))
    for number, (answer, whole) in enumerate(answers):
        assert whole.startswith(answer)
        if number % 3:
            assert answer == whole
    _wait_for_idle(shared)


def test_the_same_id_twice_at_once_is_refused(shared: EngineClient) -> None:
    running = shared.stream(_request("twin", "repeat 100000"))
    next(running)
    with pytest.raises(UserError, match="twin"):
        list(shared.stream(_request("twin", "x")))
    running.close()


def test_running_out_of_memory_fails_the_requests_and_spares_the_engine(
    shared: EngineClient,
) -> None:
    last = list(shared.stream(_request("a", "one oom")))[-1]
    assert isinstance(last, Failed)
    assert "Memory ran out on cpu" in last.message
    assert _text(list(shared.stream(_request("b", "fine")))) == "plain fine"


def test_an_engine_bug_ends_every_stream_with_a_sentence(own: EngineClient) -> None:
    bystander = own.stream(_request("b", "repeat 100000"))
    next(bystander)
    with pytest.raises(EngineDiedError, match="RuntimeError: a kernel went wrong"):
        list(own.stream(_request("a", "crash")))
    with pytest.raises(EngineDiedError, match="a kernel went wrong"):
        list(bystander)
    assert not own.alive()


def test_a_driver_that_was_reset_is_told_in_words_and_a_restart_helps(own: EngineClient) -> None:
    with pytest.raises(EngineDiedError, match=r"driver was reset.*restart loads the model again"):
        list(own.stream(_request("a", "one reset")))
    assert not own.alive()
    list(own.load())
    assert _text(list(own.stream(_request("b", "fine")))) == "plain fine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_engine_ends_the_stream_at_once_and_can_be_restarted(own: EngineClient) -> None:
    events = own.stream(_request("a", "repeat 100000"))
    next(events), next(events)
    os.kill(_engine_pid(own), signal.SIGKILL)
    killed_at = time.monotonic()
    with pytest.raises(EngineDiedError, match="killed by the system"):
        list(events)
    assert time.monotonic() - killed_at < PROMPTLY_S
    assert not own.alive()
    with pytest.raises(EngineDiedError, match="killed by the system"):
        list(own.stream(_request("b", "anyone there")))

    list(own.load())
    assert own.alive()
    assert _text(list(own.stream(_request("c", "back again")))) == "plain back again"


def test_a_native_crash_names_the_signal_or_the_exit_code(own: EngineClient) -> None:
    with pytest.raises(EngineDiedError, match=r"SIGABRT|exit code"):
        list(own.stream(_request("a", "abort")))


def test_before_loading_and_after_closing_a_stream_is_refused() -> None:
    client = _client("echo")
    with pytest.raises(EngineDiedError, match="load the model first"):
        next(iter(client.stream(_request("a", "x"))))
    assert client.stats() is None
    assert client.process_id() is None
    list(client.load())
    pid = _engine_pid(client)
    assert client.process_id() == pid
    client.close()
    client.close()
    _wait_until_gone(pid)
    assert not client.alive()
    with pytest.raises(EngineDiedError):
        next(iter(client.stream(_request("a", "x"))))


def test_closing_ends_a_stream_that_is_waiting(own: EngineClient) -> None:
    events = own.stream(_request("a", "repeat 100000"))
    next(events)
    own.close()
    with pytest.raises(EngineDiedError, match="closed"):
        list(events)


@pytest.mark.slow
def test_an_engine_that_hangs_is_ended_by_force(own: EngineClient) -> None:
    events = own.stream(_request("a", "hang"))
    next(events)
    pid = _engine_pid(own)
    started = time.monotonic()
    own.close()
    assert time.monotonic() - started < PROMPTLY_S
    _wait_until_gone(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_engine_ends_when_its_parent_is_killed() -> None:
    script = (
        "import sys, time\n"
        "from localfp4.config import EngineConfig\n"
        "from localfp4.engine.client import EngineClient\n"
        "from localfp4.messages import Request\n"
        "if __name__ == '__main__':\n"
        f"    client = EngineClient(EngineConfig('echo'), loader={LOADER!r})\n"
        "    list(client.load())\n"
        "    print(client._link._process.pid, flush=True)\n"
        "    list(client.stream(Request('a', prompt='repeat 100000')))\n"
    )
    path = os.pathsep.join(sys.path)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        engine_pid = int(parent.stdout.readline())
        assert _process_exists(engine_pid)
        parent.kill()
    _wait_until_gone(engine_pid)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_terminal_does_not_reach_the_engine(own: EngineClient) -> None:
    os.kill(_engine_pid(own), signal.SIGINT)
    assert _text(list(own.stream(_request("a", "still here")))) == "plain still here"


def test_the_client_is_torch_free() -> None:
    code = "import sys, localfp4.engine.client; assert 'torch' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
