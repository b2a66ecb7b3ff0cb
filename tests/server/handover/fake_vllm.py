"""Stands in for ``vllm``: tells its arguments, serves ``/health``, and ends as vLLM does."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def end(number: int, frame: FrameType | None) -> None:
    print(f"INFO ended by {signal.Signals(number).name}", flush=True)
    raise SystemExit(0 if number == signal.SIGTERM else 3)


def main() -> None:
    arguments = sys.argv[1:]
    print("INFO", *arguments, flush=True)
    print("key", os.environ.get("VLLM_API_KEY"), file=sys.stderr, flush=True)
    if "--fails" in arguments:
        raise SystemExit(7)
    if "--sleeps" in arguments:
        signal.pause()
    if "--crashes" in arguments:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    port = int(arguments[arguments.index("--port") + 1])
    HTTPServer(("127.0.0.1", port), Handler).serve_forever(poll_interval=0.05)


main()
