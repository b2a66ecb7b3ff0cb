"""The folder of a run: ``rows.jsonl`` in it is written as the run goes on, and read again."""

import errno
import os
from pathlib import Path
from types import TracebackType

from localfp4.bench.events import Lasting
from localfp4.bench.records import Row, Run
from localfp4.bench.report.json_report import from_json
from localfp4.bench.running.lines import Header, header_line, is_whole, line_of, read_lines
from localfp4.bench.running.same_run import difference
from localfp4.errors import UserError
from localfp4.file_lock import try_lock

ROWS = "rows.jsonl"

_RUNS = "name a folder that localfp4 bench --out filled, or its report in JSON."

_BEGINNING = b'{"kind": "run"'
"""Of every record, also of one that was cut short in its first line."""


class NotWrittenError(UserError):
    """What was measured cannot be kept; what was written before is whole."""


class RunFile:
    """The record of a run, held by this process.

    Every line is on the disk before the next is measured, so that whatever ends this process, or
    the computer, costs the cell that was being measured and no other.
    """

    def __init__(self, descriptor: int, path: Path, rows: int) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._rows = rows

    @classmethod
    def create(cls, folder: Path, header: Header) -> "RunFile":
        """Begin a run, in a folder that is made where there is none.

        Raises:
            UserError: There is a run already, another process is writing one, or the folder cannot
                be written to.
        """
        descriptor, path, written = _open(folder)
        try:
            if not _is_unbegun(written):
                date = _read(written, path)[0].environment.date
                raise UserError(
                    f"{folder} already holds a run, begun {date}; add --resume to finish it, or "
                    "choose another --out."
                )
            return cls._begun(descriptor, path, header)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def resume(cls, folder: Path, header: Header) -> tuple["RunFile", Run]:
        """Go on with a run, or begin it where it was not begun; and tell what was measured.

        Raises:
            UserError: The folder holds another run, one that cannot be read, or one that another
                process is writing.
        """
        descriptor, path, written = _open(folder)
        try:
            if _is_unbegun(written):
                run = Run(header.environment, header.method)
                return cls._begun(descriptor, path, header), run
            whole = _whole_bytes(written)
            before, run = _read(written[:whole], path)
            if found := difference(before, header):
                raise UserError(
                    f"{folder} holds another run ({found}); give the options of that run again, or "
                    "choose another --out."
                )
            os.ftruncate(descriptor, whole)
            return cls(descriptor, path, len(run.rows)), run
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def _begun(cls, descriptor: int, path: Path, header: Header) -> "RunFile":
        os.ftruncate(descriptor, 0)
        begun = cls(descriptor, path, 0)
        begun._write(header_line(header))
        return begun

    def append(self, event: Lasting) -> None:
        """Write down what was loaded or measured.

        Raises:
            NotWrittenError: The disk is full, or gone; the file is as it was before.
        """
        self._write(line_of(event))
        self._rows += isinstance(event, Row)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> "RunFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, line: str) -> None:
        assert self._descriptor is not None
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        left = memoryview(f"{line}\n".encode())
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError as error:
            self._take_back(end)
            raise NotWrittenError(self._why(error)) from error

    def _take_back(self, end: int) -> None:
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, end)
        except OSError:
            return  # half a line is left out by whoever reads it

    def _why(self, error: OSError) -> str:
        kept = f"{self._rows} {'row is' if self._rows == 1 else 'rows are'} kept"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"The disk with {self._path} is full; {kept}. Free some space, and go on with "
                "--resume."
            )
        return f"Writing {self._path} failed ({error.strerror}); {kept}. Go on with --resume."


def read_run(path: Path) -> Run:
    """Read a run: its folder, the ``rows.jsonl`` in it, or a report in JSON or JSON lines.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    file = path / ROWS if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        what = f"no run in {path}: it has no {ROWS}" if path.is_dir() else f"no {path}"
        raise UserError(f"There is {what}; {_RUNS}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not the record of a benchmark; {_RUNS}") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    if text.encode().startswith(_BEGINNING):
        return read_lines(text.split("\n"), str(file))[1]
    return from_json(text, str(file))


def _open(folder: Path) -> tuple[int, Path, bytes]:
    """Open and lock the record in a folder, and read it.

    Raises:
        UserError: It cannot be, or another process has it.
    """
    path = folder / ROWS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); choose another --out."
        ) from error
    if not try_lock(descriptor):
        os.close(descriptor)
        raise UserError(
            f"Another benchmark is writing to {folder}; wait for it, or choose another --out."
        )
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return descriptor, path, file.read()


def _is_unbegun(written: bytes) -> bool:
    """Say whether nothing was written, or not even a whole first line."""
    half = b"\n" not in written
    return half and (written.startswith(_BEGINNING) or _BEGINNING.startswith(written))


def _read(written: bytes, path: Path) -> tuple[Header, Run]:
    return read_lines(written.decode(errors="replace").split("\n"), str(path))


def _whole_bytes(written: bytes) -> int:
    """Return how much of a record is lines that were finished."""
    whole = written.rfind(b"\n") + 1
    last = written[:whole].rstrip(b"\n").rpartition(b"\n")[2]
    if not is_whole(last.decode(errors="replace")):
        return whole - len(last) - 1
    return whole
