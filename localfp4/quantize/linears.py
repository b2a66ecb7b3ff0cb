"""The linears of a model that can be quantised, from its headers alone; torch-free."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from localfp4.checkpoint.rounded.pieces import Piece, expert_pieces, linear_pieces
from localfp4.checkpoint.tensor_info import DTYPE_BITS
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.opened import OpenedModel
from localfp4.models.tying import shares_embedding
from localfp4.quantize.sites import HEAD

_MERGED = re.compile(
    r"\.(?:(?P<attention>[qkv]_proj)|(?P<gated>gate_proj|up_proj|w1|w3)"
    r"|(?P<latent>q_a_proj|kv_a_proj_with_mqa)|(?P<recurrent>in_proj_\w+))$",
    re.ASCII,
)
"""Ends of the names of linears, by which of them read the same input."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear of a decoder, or its output projection.

    Attributes:
        name: Such as ``model.layers.0.mlp.up_proj``.
        rows: Rows N.
        columns: Columns K.
        nbytes: As it is stored.
    """

    name: str
    rows: int
    columns: int
    nbytes: int


def linears(opened: OpenedModel) -> Iterator[Linear]:
    """Yield all linears, those of experts one by one, and an output projection of its own.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: Experts are stored in a format that is not supported.
    """
    for piece in _pieces(opened):
        if piece.holds_weights:
            width = piece.columns * DTYPE_BITS[piece.info.dtype] // 8
            for cut in piece.cuts:
                yield Linear(cut.prefix, cut.count, piece.columns, cut.count * width)
    if not shares_embedding(opened.checkpoint):
        head = opened.checkpoint.tensors[f"{HEAD}.weight"]
        yield Linear(HEAD, head.shape[0], head.shape[1], head.nbytes)


def reading_the_same(name: str) -> str:
    """Return a name that linears have in common which read the same input and run merged."""
    match = _MERGED.search(name)
    return name if match is None else f"{name[: match.start()]}.{match.lastgroup}"


def _pieces(opened: OpenedModel) -> Iterator[Piece]:
    yield from linear_pieces(opened.checkpoint)
    for stack in dense_stacks(opened.checkpoint, opened.spec):
        yield from expert_pieces(opened.checkpoint, stack)
