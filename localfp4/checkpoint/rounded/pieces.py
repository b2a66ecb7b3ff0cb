"""What is read of a 16-bit checkpoint at once, and the linears that it holds; torch-free.

A piece is a plain matrix, or the matrix of one expert within a tensor for all of them: exporters
write experts one by one, and gate and up apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import DENSE_DTYPES
from localfp4.checkpoint.tensor_info import TensorInfo

_WEIGHT = ".weight"
_BIAS = ".bias"

_LAYER = re.compile(r"model\.layers\.\d+\.", re.ASCII)
_KEPT = re.compile(
    r"norm|conv|per_layer|\.(mlp|moe)\.gate\.|shared_expert_gate|\.in_proj_(a|b|ba)\.|\.g_proj\.",
    re.ASCII,
)
"""What exporters leave as it is within layers: convolutions, routers, gates, and matrices with a row
for each head."""


@dataclass(frozen=True, slots=True)
class DenseStack:
    """A product of all experts in one tensor that is not quantised.

    Attributes:
        name: Such as ``model.layers.0.mlp.experts.gate_up_proj``.
        parts: The linears that it merges, of ``gate``, ``up`` and ``down``.
        shape: Experts E, rows N of all parts, and columns K.
        transposed: Whether columns come before rows, ``[E, K, N]``.
        interleaved: Whether rows alternate between the parts.
        bias: Whether there are biases, ``[E, N]`` in ``{name}_bias``.
    """

    name: str
    parts: tuple[str, ...]
    shape: tuple[int, int, int]
    transposed: bool
    interleaved: bool
    bias: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """A tensor within a piece.

    Attributes:
        name: What it is called, ending in ``.weight`` or ``.bias``.
        rows: Which rows of the piece it is.
        count: How many those are.
    """

    name: str
    rows: slice
    count: int

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix, which is rounded, and no bias."""
        return self.name.endswith(_WEIGHT)

    @property
    def prefix(self) -> str:
        """Name of the linear."""
        return self.name.removesuffix(_WEIGHT)


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor that is read, and what it is cut into.

    Attributes:
        name: What the reader calls it.
        stored: Name of the tensor that it is, or is a part of.
        info: Where it lies.
        cuts: Linears or biases in it; together they are the piece.
        transposed: Whether its columns are stored before its rows.
    """

    name: str
    stored: str
    info: TensorInfo
    cuts: tuple[Cut, ...]
    transposed: bool = False

    @property
    def holds_weights(self) -> bool:
        """Whether it is a matrix, and no bias."""
        return len(self.info.shape) == 2

    @property
    def columns(self) -> int:
        """Columns K of its linears."""
        return self.info.shape[0 if self.transposed else -1]


def linear_pieces(checkpoint: Checkpoint) -> Iterator[Piece]:
    """Yield the linears of decoder layers that exporters quantise, each a piece of its own.

    Args:
        checkpoint: Of a language model under its usual names.
    """
    for name, info in checkpoint.tensors.items():
        is_matrix = len(info.shape) == 2 and 0 not in info.shape and info.dtype in DENSE_DTYPES
        if not (is_matrix and name.endswith(_WEIGHT)):
            continue
        if _LAYER.match(name) and not _KEPT.search(name):
            yield Piece(name, name, info, (Cut(name, slice(None), info.shape[0]),))


def expert_pieces(checkpoint: Checkpoint, stack: DenseStack) -> Iterator[Piece]:
    """Yield each expert of a stack and, where there are biases, its bias."""
    experts, rows, columns = stack.shape
    matrix = (columns, rows) if stack.transposed else (rows, columns)
    tensors: list[tuple[str, tuple[int, ...], str]] = [(stack.name, matrix, _WEIGHT)]
    if stack.bias:
        tensors.append((f"{stack.name}_bias", (rows,), _BIAS))
    for name, shape, suffix in tensors:
        info = checkpoint.tensors[name]
        size = info.nbytes // experts
        for expert in range(experts):
            own, start = f"{name}[{expert}]", info.start + expert * size
            one = replace(info, name=own, shape=shape, start=start, end=start + size)
            cuts = tuple(_cuts(stack, expert, suffix))
            yield Piece(own, name, one, cuts, stack.transposed and suffix == _WEIGHT)


def _cuts(stack: DenseStack, expert: int, suffix: str) -> Iterator[Cut]:
    container, count = stack.name.rpartition(".")[0], len(stack.parts)
    size = stack.shape[1] // count
    for place, part in enumerate(stack.parts):
        rows = slice(place * size, (place + 1) * size)
        if stack.interleaved:
            rows = slice(place, None, count)
        yield Cut(f"{container}.{expert}.{part}_proj{suffix}", rows, size)
