"""The headers of a 16-bit checkpoint as if it had been exported in another format; torch-free."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.rounded.forms import FORMS, Form
from localfp4.checkpoint.rounded.pieces import (
    DenseStack,
    Piece,
    expert_pieces,
    linear_pieces,
)
from localfp4.checkpoint.synthetic.model import PLAIN_FORM, PREFIX
from localfp4.checkpoint.tensor_info import DTYPE_BITS, TensorInfo
from localfp4.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class RoundedTensor(TensorInfo):
    """The header of a tensor that is made when it is read; it lies where its piece does.

    Attributes:
        piece: What it is made from.
    """

    piece: Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundedCheckpoint(Checkpoint):
    """Headers of which :mod:`localfp4.checkpoint.rounded.reader` makes the values.

    Attributes:
        source: What is read, with a tensor for each piece.
        rounding: Of :data:`localfp4.config.ROUNDINGS`.
        kept: Linears that stay as they are, since their columns, or those of experts beside them,
            do not fit the format.
    """

    source: Checkpoint
    rounding: str
    kept: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """Size of the tensors in the files, which is what has to be read."""
        return sum(self.source.tensors[name].nbytes for name in self.needed(self.tensors))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it, a sentence each."""
        if not self.kept:
            return ()
        columns = FORMS[self.rounding].columns
        rule = f"{self.rounding} takes columns in multiples of {columns}"
        if len(self.kept) == 1:
            return (f"{shown(self.kept[0])} stays in 16 bits: {rule}.",)
        return (
            f"{len(self.kept)} linears, such as {shown(self.kept[0])}, stay in 16 bits: {rule}, "
            "and they, or experts beside them, have others.",
        )

    def needed(self, names: Iterable[str]) -> Iterable[str]:
        """Return the tensors of the source that some are made from, in their order, each once."""
        found = (
            info.piece.name if isinstance(info := self.tensors.get(name), RoundedTensor) else name
            for name in names
        )
        return dict.fromkeys(found)


def rounded_checkpoint(
    checkpoint: Checkpoint, rounding: str, stacks: Sequence[DenseStack] = ()
) -> RoundedCheckpoint:
    """Return the headers that an exporter would have written for a 16-bit checkpoint.

    Experts of a layer are rounded together or not at all: kernels read both of their products in
    one format.

    Args:
        checkpoint: A language model under its usual names, with nothing quantised.
        rounding: Of :data:`localfp4.config.ROUNDINGS`.
        stacks: Its experts, as far as they lie in one tensor.

    Raises:
        UnsupportedModelError: No linear fits the format.
    """
    form = FORMS[rounding]
    made, kept = _sorted_out(_all_pieces(checkpoint, stacks), form)
    if not made:
        raise UnsupportedModelError(_nothing_fits(checkpoint, rounding))
    replaced = {one.stored for one in made}
    tensors = {name: info for name, info in checkpoint.tensors.items() if name not in replaced}
    tensors |= {one.name: one for piece in made for one in _made_from(piece, form)}
    sources = {**checkpoint.tensors, **{piece.name: piece.info for piece in made}}
    return RoundedCheckpoint(
        folder=checkpoint.folder,
        config={**checkpoint.config, "quantization_config": form.quant_config},
        generation_config=checkpoint.generation_config,
        quant_config=form.quant_config,
        tensors=MappingProxyType(tensors),
        metadata=checkpoint.metadata,
        source=replace(checkpoint, tensors=MappingProxyType(sources)),
        rounding=rounding,
        kept=tuple(cut.prefix for one in kept if one.holds_weights for cut in one.cuts),
    )


def refused_roundings(checkpoint: Checkpoint, stacks: Sequence[DenseStack] = ()) -> dict[str, str]:
    """Return the roundings that no linear fits, with why, a sentence each.

    Args:
        checkpoint: As :func:`rounded_checkpoint` takes it.
        stacks: Likewise.
    """
    pieces = _all_pieces(checkpoint, stacks)
    return {
        rounding: _nothing_fits(checkpoint, rounding)
        for rounding, form in FORMS.items()
        if not _sorted_out(pieces, form)[0]
    }


def already_quantised(name: str, stored: str) -> str:
    """Return why a model cannot be rounded to another format.

    Args:
        name: What it is called.
        stored: What it is stored as, in words.
    """
    original = "name its original"
    if name.startswith(PREFIX):
        original = f"take {name}@{PLAIN_FORM}"
    return f"{shown(name)} is stored as {stored}; formats are made from a 16-bit model: {original}."


def _nothing_fits(checkpoint: Checkpoint, rounding: str) -> str:
    return (
        f"Nothing in {shown(checkpoint.folder)} can be rounded to {rounding}, which takes columns "
        f"in multiples of {FORMS[rounding].columns}; choose another format."
    )


def _all_pieces(checkpoint: Checkpoint, stacks: Sequence[DenseStack]) -> list[Piece]:
    pieces = [*linear_pieces(checkpoint)]
    for stack in stacks:
        pieces += expert_pieces(checkpoint, stack)
    return pieces


def _sorted_out(pieces: Sequence[Piece], form: Form) -> tuple[list[Piece], list[Piece]]:
    """Return what is rounded and what stays as it is."""
    unfit = {_together(one) for one in pieces if one.holds_weights and one.columns % form.columns}
    made = [one for one in pieces if _together(one) not in unfit]
    return made, [one for one in pieces if _together(one) in unfit]


def _together(piece: Piece) -> str:
    """Return what the experts of a layer have in common, and other pieces with none."""
    layer, is_expert, _ = piece.name.partition(".experts.")
    return f"{layer}.experts" if is_expert else piece.name


def _made_from(piece: Piece, form: Form) -> Iterator[RoundedTensor]:
    for cut in piece.cuts:
        if not cut.is_weight:
            yield _tensor(piece, cut.name, piece.info.dtype, (cut.count,))
            continue
        for suffix, dtype, shape in form.parts(cut.count, piece.columns):
            yield _tensor(piece, cut.prefix + suffix, dtype, shape)


def _tensor(piece: Piece, name: str, dtype: str, shape: tuple[int, ...]) -> RoundedTensor:
    start = piece.info.start
    end = start + math.prod(shape) * DTYPE_BITS[dtype] // 8
    return RoundedTensor(name, dtype, shape, start, end, piece.info.file, piece)
