"""A folder with two files for each server that runs.

A server holds a lock on ``ID.lock`` for as long as it lives, however it ends; ``ID.json`` says who it
is. Asking it to end is a file ``ID.stop``, which it looks for: that works alike on every system,
and opens no door over the network.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from localfp4.errors import UserError
from localfp4.file_lock import try_lock
from localfp4.file_moves import put_in_place

_NAP_S = 0.1


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server, as others on this computer see it.

    Attributes:
        process_id: Of the process that listens, or that started it.
        model: What it serves, as the user called it.
        url: Where, without a path.
        engine: What answers: ``localfp4`` or ``vllm``.
        started_s: When it was started, in seconds since 1970.
        source: The model that it loaded, as ``locate`` takes it; empty where that is not told.
    """

    process_id: int
    model: str
    url: str
    engine: str
    started_s: float
    source: str = ""

    @property
    def port(self) -> int:
        """Where it listens; 0 where the address is malformed."""
        digits = self.url.rpartition(":")[2]
        return int(digits) if digits.isdecimal() else 0


class Membership:
    """A server's own place in the registry.

    Args:
        stop: The file that asks it to end; ``None`` where nobody can.
    """

    def __init__(self, stop: Path | None) -> None:
        self._stop = stop

    def stop_requested(self) -> bool:
        """Say whether somebody asked this server to end."""
        return self._stop is not None and self._stop.exists()


@dataclass(frozen=True, slots=True)
class Listed:
    """A server in the registry.

    Attributes:
        server: Who it is.
        stem: What its files are called, without their suffixes.
    """

    server: RunningServer
    stem: Path

    def ask_to_stop(self) -> None:
        """Ask it to end once the answers under way are written.

        Raises:
            UserError: The registry cannot be written to.
        """
        with _told(self.stem.parent):
            self.stem.with_suffix(".stop").touch()

    def has_ended(self) -> bool:
        """Say whether it is gone."""
        return not _is_alive(self.stem)

    def wait_until_ended(self, timeout_s: float) -> bool:
        """Wait for its end, and say whether that came in time."""
        deadline = time.monotonic() + timeout_s
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(_NAP_S)
        return True


class Registry:
    """Knows the servers of this user."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not exist."""
        self._folder = folder

    @contextmanager
    def member(self, server: RunningServer) -> Iterator[Membership]:
        """List a server for the time of a block.

        Raises:
            UserError: The folder cannot be written to.
        """
        stem = self._folder / f"{server.process_id}-{secrets.token_hex(4)}"
        with _told(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(stem.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with _told(self._folder):
                try_lock(lock)
                _write(stem.with_suffix(".json"), server)
            yield Membership(stem.with_suffix(".stop"))
        finally:
            # In this order: a file that says who a server is never stands without its lock.
            _remove(stem, ".json", ".stop")
            os.close(lock)
            _remove(stem, ".lock")

    def servers(self) -> list[Listed]:
        """Return those that run, the oldest first; what dead ones left behind is taken away."""
        found = []
        for path in self._folder.glob("*.json"):
            stem = path.with_suffix("")
            if not _is_alive(stem):
                _remove(stem, ".json", ".stop", ".lock")
            elif (server := _read(path)) is not None:
                found.append(Listed(server, stem))
        return sorted(found, key=lambda one: one.server.started_s)


def _is_alive(stem: Path) -> bool:
    """Say whether somebody holds a server's lock."""
    try:
        descriptor = os.open(stem.with_suffix(".lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, server: RunningServer) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(server)), encoding="utf-8")
    put_in_place(partial, path)


def _read(path: Path) -> RunningServer | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return RunningServer(
            process_id=int(told["process_id"]),
            model=str(told["model"]),
            url=str(told["url"]),
            engine=str(told["engine"]),
            started_s=float(told["started_s"]),
            source=str(told.get("source", "")),
        )
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
    ):  # it has just ended, or is of another version
        return None


def _remove(stem: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        with suppress(OSError):
            stem.with_suffix(suffix).unlink()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell in one sentence why the folder cannot be used."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The list of servers in {folder} cannot be written ({error.strerror or error}); make "
            "that folder writable."
        ) from error
