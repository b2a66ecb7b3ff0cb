"""The folder of a run that is not finished: every layer that is done lies in a file of its own."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from safetensors import SafetensorError

from localfp4.checkpoint.display import shown
from localfp4.errors import RequestError
from localfp4.file_lock import try_lock
from localfp4.file_moves import put_in_place
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.layer_file import (
    LayerSummary,
    read_layer,
    read_summary,
    write_layer,
)

SUFFIX = ".partial"
"""Added to the name of the finished folder."""

_RUN = "run.json"
_LOCK = "lock"
_LAYERS = "layers"
_VERSION = 1


class WorkFolder:
    """Results of layers, one file each, written whole or not at all.

    A context manager that keeps the folder locked against other processes.

    Attributes:
        folder: ``OUT.partial``.
    """

    def __init__(self, folder: Path) -> None:
        """Lock a folder that exists; use :meth:`open`.

        Raises:
            RequestError: Another process has it.
        """
        self.folder = folder
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
        if not try_lock(self._lock):
            os.close(self._lock)
            raise RequestError(f"Another process is writing {shown(folder)}; wait for its end.")

    @classmethod
    def open(cls, out: Path, digest: str) -> Self:
        """Go on with a run, or begin it where there is none.

        Args:
            out: The folder that there will be in the end.
            digest: Of all that decides the bytes: the model, the recipe, the tokens.

        Raises:
            RequestError: The folder cannot be written, holds something else or what was begun with
                something else, or another process is at it.
        """
        folder = partial_folder(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            work = cls(folder)
        except OSError as error:
            raise RequestError(
                f"{shown(folder)} cannot be made: {shown(error.strerror or error)}."
            ) from error
        try:
            work._begin({"version": _VERSION, "digest": digest})
        except BaseException:
            work.close()
            raise
        return work

    def _begin(self, header: dict[str, object]) -> None:
        """Note what a new run is about, or see that one that is there is about the same."""
        # A process that ended before it had written what it was about has left nothing else.
        if not (self.folder / _RUN).exists() and self._is_bare():
            self.write_text(_RUN, json.dumps(header))
        try:
            begun = json.loads((self.folder / _RUN).read_bytes())
        except (OSError, ValueError):
            begun = None
        if begun != header:
            raise RequestError(
                f"{shown(self.folder)} holds a run that was begun with another model, other options "
                "or another version; delete it, or write elsewhere with --out."
            )
        self._layers.mkdir(exist_ok=True)
        for left_over in self._layers.glob("*.tmp"):
            left_over.unlink()

    def _is_bare(self) -> bool:
        """Say whether there is no file but those of a run that has only begun to begin."""
        names = {path.name for path in self.folder.rglob("*") if path.is_file()}
        return names <= {_LOCK, _temporary(Path(_RUN)).name}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others have it. May be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def discard(self) -> bool:
        """Delete the folder with all that is in it, and say whether that is done.

        Windows deletes no file that is open, as a virus scanner may have one.
        """
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists()

    def finished(self) -> frozenset[int]:
        """Return the indices of the layers that are done."""
        return frozenset(int(path.stem) for path in self._layers.glob("*.safetensors"))

    def save(self, result: LayerResult) -> None:
        """Write what was decided for a layer, all of it or nothing.

        Raises:
            RequestError: It cannot be written.
        """
        with self._writing(self._path(result.index)) as temporary:
            write_layer(temporary, result)

    def write_text(self, name: str, text: str) -> None:
        """Keep something that was found out, all of it or nothing.

        Args:
            name: Of the file.
            text: What was found.

        Raises:
            RequestError: It cannot be written.
        """
        with self._writing(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def read_text(self, name: str) -> str | None:
        """Return what :meth:`write_text` kept; ``None`` where it did not."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    @contextmanager
    def _writing(self, path: Path) -> Iterator[Path]:
        """Give a file to write, and put it in the place of another once it is on the disk."""
        temporary = _temporary(path)
        try:
            yield temporary
            descriptor = os.open(temporary, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            put_in_place(temporary, path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):  # what there is of it would take space until the next run
                temporary.unlink()
            raise RequestError(
                f"{shown(path)} cannot be written: {shown(error)}. Free some space and start the "
                "same command again: layers that are done stay done."
            ) from error

    def load(self, index: int, device: torch.device | None = None) -> LayerResult:
        """Read what was decided for a layer.

        Args:
            index: Of the layer.
            device: Where codes go; the CPU, where none is named.

        Raises:
            RequestError: It is not done, or the file is damaged.
        """
        with self._reading(index) as path:
            return read_layer(path, index, device or torch.device("cpu"))

    def summary(self, index: int) -> LayerSummary:
        """Read what was decided for a layer, without its codes.

        Raises:
            RequestError: It is not done, or the file is damaged.
        """
        with self._reading(index) as path:
            return read_summary(path, index)

    @contextmanager
    def _reading(self, index: int) -> Iterator[Path]:
        """Give the file of a layer; what goes wrong with it is one sentence."""
        path = self._path(index)
        try:
            yield path
        except (OSError, SafetensorError) as error:
            raise RequestError(
                f"{shown(path)} cannot be read: {shown(error)}; delete it to do the layer again."
            ) from error

    @property
    def _layers(self) -> Path:
        return self.folder / _LAYERS

    def _path(self, index: int) -> Path:
        return self._layers / f"{index:05d}.safetensors"


def partial_folder(out: Path) -> Path:
    """Return where a run works until it is finished."""
    return out.with_name(out.name + SUFFIX)


def _temporary(path: Path) -> Path:
    return path.with_suffix(".tmp")
