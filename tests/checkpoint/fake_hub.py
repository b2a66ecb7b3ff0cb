"""A hub on this machine: the few routes that huggingface_hub's downloads use."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 64 * 1024

ERRORS = {
    "org/missing": (404, "RepoNotFound"),
    "org/private": (401, "RepoNotFound"),
    "org/gated": (403, "GatedRepo"),
    "org/broken": (503, ""),
}


@dataclass
class FakeHub:
    """Serves ``{id: {path: content}}``.

    ``requests`` fills with the paths asked for, and ``starts`` with where the sending of each file
    began. Files of more than one chunk trickle, so that progress can be seen. ``off_by`` is how far
    ranges begin after what was asked for.
    """

    repositories: dict[str, dict[str, bytes]]
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    knows_ranges: bool = True
    off_by: int = 0
    requests: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["FakeHub"]:
        """Serve on a free port of the loopback interface."""
        hub = self

        class Handler(_Handler):
            served = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.served.requests.append(path)
        parts = path.strip("/").split("/")
        api = parts[0] == "api"
        # Models lie at the root, data sets below a folder of their own.
        parts = parts[2:] if api else parts[parts[0] == "datasets" :]
        repo, rest = "/".join(parts[:2]), parts[2:]
        files = self.served.repositories.get(repo)
        if repo in ERRORS or files is None:
            self._refuse(*ERRORS.get(repo, (404, "RepoNotFound")))
        elif rest[1:] and rest[1] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif api:
            self._send_json(repo, files, tree=rest[:1] == ["tree"])
        elif "/".join(rest[2:]) not in files:
            self._refuse(404, "EntryNotFound")
        else:
            self._send_file(repo, "/".join(rest[2:]), files, with_body=with_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, repo: str, files: dict[str, bytes], *, tree: bool) -> None:
        entries = [
            {"type": "file", "path": path, "size": len(data), "oid": _etag(data)}
            for path, data in files.items()
        ]
        siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
        info = {"_id": "1", "id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}
        body = json.dumps(entries if tree else info).encode("utf-8")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, repo: str, path: str, files: dict[str, bytes], *, with_body: bool) -> None:
        data, start = files[path], self._start()
        self.send_response(206 if start else 200)
        if start:
            first = start + self.served.off_by
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{_etag(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if repo in self.served.claimed_sizes:
            self.send_header("X-Linked-Size", str(self.served.claimed_sizes[repo]))
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if with_body and repo == "org/cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif with_body:
            self.served.starts.append((path, start))
            with suppress(ConnectionError):  # the other side has paused
                self._trickle(data[start:])

    def _start(self) -> int:
        """Where the range that is asked for begins."""
        asked = self.headers.get("Range", "bytes=0-")
        first = asked.removeprefix("bytes=").partition("-")[0]
        return int(first) if self.served.knows_ranges else 0

    def _trickle(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self.wfile.write(data[start : start + CHUNK])
            if len(data) > CHUNK:
                time.sleep(0.05)


def _etag(data: bytes) -> str:
    """As the hub has it: large files are named by another hash than small ones."""
    if len(data) > CHUNK:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
