"""How the tensors of a checkpoint are divided into files: one a layer, and some for all else."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo

SHARD_BYTES = 4 * 10**9
"""Most bytes of a file of what belongs to no layer, if it is not one tensor."""

SINGLE_FILE_BYTES = 2**30
"""A model that is smaller lies in one file, which is put together from those of its layers."""

_LAYER = re.compile(r"model\.layers\.(\d+)\.", re.ASCII)

NamedTensors = tuple[tuple[str, TensorInfo], ...]
"""Tensors of a file to be, by canonical names, or by their own where they have no others."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file to be.

    Attributes:
        result: Index of the result that decides what is written: of a layer, or of what comes after
            the last.
        tensors: What of the original belongs into it.
    """

    result: int
    tensors: NamedTensors


def shards(original: Checkpoint, decoder: Checkpoint, layers: int) -> list[Shard]:
    """Divide a checkpoint.

    Args:
        original: All that is stored, other senses included.
        decoder: Its language model, under canonical names.
        layers: Layers of the decoder, without those that only guess ahead.
    """
    canonical = {info.name: name for name, info in decoder.tensors.items()}
    inside: list[list[tuple[str, TensorInfo]]] = [[] for _ in range(layers)]
    outside: list[tuple[str, TensorInfo]] = []
    for stored, info in original.tensors.items():
        name = canonical.get(stored, stored)
        found = _LAYER.match(name) if stored in canonical else None
        layer = int(found[1]) if found else layers
        (inside[layer] if layer < layers else outside).append((name, info))
    found_layers = [Shard(index, tuple(tensors)) for index, tensors in enumerate(inside)]
    return [*found_layers, *(Shard(layers, chunk) for chunk in _chunks(outside))]


def _chunks(tensors: Iterable[tuple[str, TensorInfo]]) -> Iterator[NamedTensors]:
    chunk: list[tuple[str, TensorInfo]] = []
    room = SHARD_BYTES
    for name, info in tensors:
        if chunk and info.nbytes > room:
            yield tuple(chunk)
            chunk, room = [], SHARD_BYTES
        chunk.append((name, info))
        room -= info.nbytes
    if chunk:
        yield tuple(chunk)
