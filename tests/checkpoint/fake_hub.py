"""A hub on this machine: the few routes that huggingface_hub's downloads use.

It answers as huggingface.co does: which files a version has, with sizes and hashes; 401 and 403 told
apart by ``X-Error-Code``; large files through a redirect to another server, if that is asked for.
"""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from tests.checkpoint.hub_fault import Fault

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 64 * 1024
TOKEN = "hf_accepted"
"""May see everything; any other token is valid, but has accepted no licence."""

ERRORS = {
    "org/missing": (401, "RepoNotFound"),
    "org/private": (401, "RepoNotFound"),
    "org/disabled": (403, ""),
    "org/broken": (503, ""),
    "org/crowded": (429, ""),
}
GATED = "org/gated"
EXPIRED = "hf_expired"


@dataclass
class FakeHub:
    """Serves ``{id: {path: content}}``, of which ``commit`` is the version.

    ``requests`` fills with the paths asked for. Files of more than one chunk trickle, so that
    progress can be seen. ``faults`` of a file (``org/model/name``) happen to one answer after the
    other. Of ``unlisted`` repositories the files are listed without sizes and hashes.
    """

    repositories: dict[str, dict[str, bytes]]
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    commit: str = COMMIT
    unlisted: frozenset[str] = frozenset()
    redirects: bool = False
    pause_s: float = 0.05
    requests: list[str] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    sent_bytes: dict[str, int] = field(default_factory=dict)
    authorized_elsewhere: list[str] = field(default_factory=list)
    ended: Event = field(default_factory=Event)
    url: str = ""

    def starts(self, path: str) -> list[int]:
        """Return where each sending of a file (``org/model/name``) began."""
        return [start for begun, start in self.begun if begun == path]

    @contextmanager
    def running(self) -> Iterator["FakeHub"]:
        """Serve on a free port of the loopback interface."""
        hub = self

        class Handler(_Handler):
            served = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
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
        elsewhere = parts[0] == "cdn"
        api = parts[0] == "api"
        # Models lie at the root, data sets below a folder of their own.
        parts = parts[2:] if api else parts[parts[0] in ("datasets", "cdn") :]
        repo, rest = "/".join(parts[:2]), parts[2:]
        files = self.served.repositories.get(repo)
        name = "/".join(rest[2:])
        if elsewhere:
            self.served.authorized_elsewhere += [path] * ("Authorization" in self.headers)
            self._send_file(repo, name, with_body=with_body)
        elif self._token() == EXPIRED:
            self._refuse(401, message="Invalid credentials in Authorization header")
        elif repo == GATED and self._token() != TOKEN and (files is None or not api):
            self._refuse(403 if self._token() else 401, "GatedRepo")
        elif repo in ERRORS or files is None:
            status, code = ERRORS.get(repo, ERRORS["org/missing"])
            self._refuse(404 if code and self._token() else status, code)
        elif rest[1:] and rest[1] not in ("main", self.served.commit):
            self._refuse(404, "RevisionNotFound")
        elif api:
            self._send_json(repo, files, tree=rest[:1] == ["tree"])
        elif name not in files:
            self._refuse(404, "EntryNotFound")
        elif self.served.redirects and is_large(name, files[name]):
            self._redirect(repo, name)
        else:
            self._send_file(repo, name, with_body=with_body)

    def _token(self) -> str:
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def _refuse(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.send_response(status)
        told = {"X-Error-Code": code, "X-Error-Message": message, "Content-Length": "0"}
        if status in (429, 503):
            told["Retry-After"] = "0"
        for key, value in (told | headers).items():
            if value:
                self.send_header(key, value)
        self.end_headers()

    def _redirect(self, repo: str, name: str) -> None:
        data = self.served.repositories[repo][name]
        port = self.served.url.rpartition(":")[2]
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{port}/cdn/{repo}/resolve/x/{name}")
        self.send_header("X-Linked-ETag", f'"{etag(name, data)}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("X-Repo-Commit", self.served.commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, repo: str, files: dict[str, bytes], *, tree: bool) -> None:
        entries = [{"type": "file", "path": path, **self._meta(repo, path)} for path in files]
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in files]
        if "blobs=true" in self.path.lower() and repo not in self.served.unlisted:
            siblings = [
                {"rfilename": entry["path"], "blobId": entry.pop("oid"), **entry}
                for entry in entries
            ]
        info: dict[str, Any] = {"id": repo, "modelId": repo, "sha": self.served.commit}
        info |= {"siblings": siblings, "gated": "manual" if repo == GATED else False}
        body = json.dumps(entries if tree else info).encode("utf-8")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _meta(self, repo: str, name: str) -> dict[str, Any]:
        data = self.served.repositories[repo][name]
        size = self.served.claimed_sizes.get(repo, len(data))
        meta: dict[str, Any] = {"size": size, "oid": git_sha1(data)}
        if is_large(name, data):
            sha256 = hashlib.sha256(data).hexdigest()
            meta["lfs"] = {"size": size, "sha256": sha256, "oid": sha256, "pointerSize": 130}
        return meta

    def _send_file(self, repo: str, name: str, *, with_body: bool) -> None:
        data = self.served.repositories[repo][name]
        waiting = self.served.faults.get(f"{repo}/{name}", [])
        fault = waiting.pop(0) if with_body and waiting else Fault()
        if fault.status:
            self._refuse(fault.status, **fault.headers)
            return
        start, end = (0, len(data)) if fault.ignores_range else self._range(len(data))
        if start >= len(data) > 0:
            self._refuse(416, **{"Content-Range": f"bytes */{len(data)}"})
            return
        body = fault.spoilt(data)[start:end]
        part = "Range" in self.headers and not fault.ignores_range and not fault.page
        self.send_response(206 if part else 200)
        if part:
            first = start + fault.off_by
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")
        if fault.page:
            body = b"<html>Log in to the network of this hotel</html>"
            self.send_header("Content-Type", "text/html; charset=utf-8")
        if fault.zips:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        body += bytes(fault.extra)
        self.send_header("ETag", f'"{etag(name, data)}"')
        self.send_header("X-Repo-Commit", self.served.commit)
        if repo in self.served.claimed_sizes:
            self.send_header("X-Linked-Size", str(self.served.claimed_sizes[repo]))
        if fault.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.served.begun.append((f"{repo}/{name}", start))
            with suppress(ConnectionError):  # the other side has paused
                self._trickle(f"{repo}/{name}", body[: fault.after])
            if fault.stalls:
                self.served.ended.wait(60)

    def _range(self, size: int) -> tuple[int, int]:
        """The part that is asked for."""
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        first, _, last = asked.partition("-")
        return int(first), min(int(last) + 1, size) if last else size

    def _trickle(self, path: str, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self.wfile.write(data[start : start + CHUNK])
            sent = self.served.sent_bytes.get(path, 0)
            self.served.sent_bytes[path] = sent + len(data[start : start + CHUNK])
            if len(data) > CHUNK:
                time.sleep(self.served.pause_s)


def is_large(name: str, data: bytes) -> bool:
    """Say whether the hub keeps a file in large-file storage."""
    return len(data) > CHUNK or name.endswith(".safetensors")


def git_sha1(data: bytes) -> str:
    """As ``git hash-object`` has it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def etag(name: str, data: bytes) -> str:
    """As the hub has it: large files are named by another hash than small ones."""
    return hashlib.sha256(data).hexdigest() if is_large(name, data) else git_sha1(data)
