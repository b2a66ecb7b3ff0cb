"""The weight files of a checkpoint in the making: which there are, their index, one for a small one."""

from collections.abc import Iterator
from pathlib import Path

from localfp4.checkpoint.headers import read_header
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.weight_files import INDEX_FILE, SINGLE_FILE
from localfp4.quantize.export.files import write_json
from localfp4.quantize.export.safetensors_file import Entry, write_safetensors
from localfp4.quantize.export.shards import SINGLE_FILE_BYTES


class WeightFiles:
    """Files of weights in a folder, each written once, whole or not at all."""

    def __init__(self, folder: Path, count: int) -> None:
        """Take where they lie, and how many there are until they may become one."""
        self._folder = folder
        self._paths = [
            folder / f"model-{number:05}-of-{count:05}.safetensors"
            for number in range(1, count + 1)
        ]

    def is_written(self, number: int) -> bool:
        """Say whether an earlier run has written a file, counted from 0."""
        return self._single.exists() or self._paths[number].exists()

    def write(self, number: int, entries: Iterator[Entry]) -> None:
        """Write a file, counted from 0.

        Raises:
            CheckpointError: The original changed meanwhile.
            OSError: Something cannot be read or written.
        """
        write_safetensors(self._paths[number], list(entries))

    def finish(self) -> None:
        """Make one file of them all where they are small, else write their index.

        Raises:
            OSError: Something cannot be read or written.
        """
        if not self._single.exists():
            tensors = [info for path in self._paths for info in read_header(path).tensors.values()]
            total = sum(info.nbytes for info in tensors)
            if total >= SINGLE_FILE_BYTES:
                self._write_index(tensors, total)
                return
            write_safetensors(self._single, [Entry.carried(info) for info in tensors])
        for path in self._paths:
            path.unlink(missing_ok=True)

    @property
    def _single(self) -> Path:
        return self._folder / SINGLE_FILE

    def _write_index(self, tensors: list[TensorInfo], total: int) -> None:
        names = {info.name: info.file.name for info in tensors}
        index = {"metadata": {"total_size": total}, "weight_map": names}
        write_json(self._folder / INDEX_FILE, index)
