"""A server on loopback that speaks as much of OpenAI's API as a test gives it."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
DONE = "[DONE]"


@dataclass
class Reply:
    """What a request gets: a whole body, or a stream of events."""

    status: int = 200
    body: Any = None
    events: Sequence[Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    stalls: bool = False


Answer = Callable[[str, Body], Reply]


@dataclass
class FakeServer:
    """Where it is, and what it was asked."""

    url: str
    asked: list[tuple[str, Body]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def bodies(self, path: str) -> list[Body]:
        return [body for where, body in self.asked if where.endswith(path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeServer
    answer: Answer
    listing: Reply

    def do_GET(self) -> None:
        self.fake.keys.append(self.headers.get("Authorization"))
        if self.path.endswith("/models"):
            self._send(self.listing)
        elif self.path.endswith("/version"):
            self._send(Reply(body={"version": "0.33.0"}))
        else:
            self._send(Reply(404, body={"error": {"message": "no such route"}}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.fake.asked.append((self.path, body))
        self.fake.keys.append(self.headers.get("Authorization"))
        self._send(type(self).answer(self.path, body))

    def log_message(self, *arguments: Any) -> None:
        pass

    def _send(self, reply: Reply) -> None:
        self.close_connection = True
        with suppress(ConnectionError):  # of a client that has given up
            if reply.events is None:
                self._send_whole(reply)
            else:
                self._stream(reply, reply.events)

    def _stream(self, reply: Reply, events: Sequence[Any]) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self._chunk(event if isinstance(event, bytes) else _line(event))
        if reply.stalls:
            self.fake.release.wait(10)
        if not reply.hangs_up:
            self._chunk(b"")

    def _send_whole(self, reply: Reply) -> None:
        is_text = isinstance(reply.body, str)
        data = reply.body.encode() if is_text else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html" if is_text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@contextmanager
def serving(answer: Answer, models: Reply | None = None) -> Iterator[FakeServer]:
    """Serve until the block ends; ``models`` is the answer of ``/v1/models``."""
    listing = models or Reply(body={"data": [{"id": "small", "owned_by": "vllm"}]})
    settings = {"answer": staticmethod(answer), "listing": listing}
    handler = type("Handler", (_Handler,), settings)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    fake = FakeServer(f"http://127.0.0.1:{listener.server_address[1]}")
    setattr(handler, "fake", fake)  # noqa: B010
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.release.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def _line(event: Any) -> bytes:
    told = event if isinstance(event, str) else json.dumps(event)
    return f"data: {told}\n\n".encode()


def text(piece: str, **choice: Any) -> Body:
    """A piece of a completion."""
    return {"choices": [{"index": 0, "text": piece, "finish_reason": None} | choice]}


def delta(**told: Any) -> Body:
    """A piece of a chat."""
    return {"choices": [{"index": 0, "delta": told, "finish_reason": None}]}


def usage(prompt: int, completion: int, **details: Any) -> Body:
    """The last event of a stream."""
    told = {"prompt_tokens": prompt, "completion_tokens": completion, **details}
    return {"choices": [], "usage": told}


def refused(message: str, status: int = 400) -> Reply:
    return Reply(status, body={"error": {"message": message, "type": "invalid_request_error"}})


def vllm(path: str, body: Body) -> Reply:
    """As vLLM answers: token ids in every piece, text that may be empty, usage in the end."""
    count = body["max_tokens"]
    pieces = [text("a" if n % 3 else "", token_ids=[n]) for n in range(count)]
    pieces[-1]["choices"][0]["finish_reason"] = "length"
    return Reply(events=[*pieces, usage(len(body["prompt"]), count), DONE])


def llama_cpp(path: str, body: Body) -> Reply:
    """As llama.cpp's server answers: so many tokens by now; text waits for whole characters."""
    count = body["max_tokens"]
    pieces = [
        text("ab", finish_reason=None) | {"timings": {"predicted_n": n}}
        for n in range(2, count + 1, 2)
    ]
    last = text("", finish_reason="length") | usage(len(body["prompt"]), count)
    last |= {"choices": text("", finish_reason="length")["choices"]}
    last |= {"timings": {"predicted_n": count}, "system_fingerprint": "b7100-abc"}
    return Reply(events=[*pieces, last, DONE])


def counted(prompt: int, completion: int) -> Reply:
    """A whole answer."""
    return Reply(body={"choices": [{"text": "a"}]} | usage(prompt, completion) | {"object": "x"})


def words_only(path: str, body: Body) -> Reply:
    """As Ollama answers: no token ids, a template around the prompt, an end where it likes."""
    if not isinstance(body["prompt"], str):
        return refused("cannot unmarshal array into Go struct field .prompt of type string")
    if not body["stream"]:
        return counted(10 + 2 * len(body["prompt"].split()), 1)
    count = min(body["max_tokens"], 5)
    zeros = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
    pieces = [text(" a") | zeros for _ in range(count)]
    end = text("", finish_reason="stop") | zeros
    return Reply(events=[*pieces, end, usage(10 + 2 * len(body["prompt"].split()), count), DONE])


def chat_only(path: str, body: Body) -> Reply:
    """As a hosted service: chat alone, nothing beyond OpenAI's API, pieces of several tokens."""
    if not path.endswith("/chat/completions"):
        return Reply(404, body={"detail": "Not Found"})
    if "ignore_eos" in body:
        return refused("Unrecognized request argument supplied: ignore_eos")
    prompt = body["messages"][0]["content"]
    if not body["stream"]:
        return counted(len(prompt.split()) + 3, 1)
    count = body["max_tokens"]
    thoughts = [delta(reasoning_content="hm")] * min(count, 2)
    pieces = [delta(role="assistant", content=""), *thoughts, delta(content="well then")]
    return Reply(events=[*pieces, usage(len(prompt.split()) + 3, count), DONE])
