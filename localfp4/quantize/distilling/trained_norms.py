"""Norms that can be trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from localfp4.models.layer import Block, Layer
from localfp4.models.load_layer import norm_names
from localfp4.models.norm import Norm
from localfp4.models.spec import LayerSpec
from localfp4.quantize.distilling.straight_through import in_dtype


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNorm:
    """The weight of a norm.

    Attributes:
        start: float32 ``[D]``, as it was stored.
        change: ``[D]``, how much what is multiplied by has changed, as a part of what it was.
        plus_one: Whether the stored weight is ``w`` of a factor ``1 + w``.
        stored: What it is stored as; the trained norm is always one that can be stored.
        dtype: What it multiplies in.
    """

    start: torch.Tensor
    change: torch.Tensor
    plus_one: bool
    stored: torch.dtype
    dtype: torch.dtype

    @classmethod
    def of(cls, stored: torch.Tensor, norm: Norm, *, plus_one: bool) -> "TrainedNorm":
        """Make the weight of a norm trainable.

        Args:
            stored: ``[D]``, as the checkpoint has it.
            norm: What was made of it.
            plus_one: As in :class:`TrainedNorm`.
        """
        if norm.weight is None:
            raise ValueError("the norm has no weight")
        start = stored.to(norm.weight.device, torch.float32)
        change = torch.zeros_like(start).requires_grad_()
        return cls(start, change, plus_one, stored.dtype, norm.weight.dtype)

    def stored_weight(self) -> torch.Tensor:
        """Return what is stored, ``[D]``."""
        return self._exact().detach().to(self.stored)

    def weight(self) -> torch.Tensor:
        """Return what is multiplied by, ``[D]``, with its gradient."""
        rounded = in_dtype(self._exact(), self.stored)
        return (rounded + 1 if self.plus_one else rounded).to(self.dtype)

    def _exact(self) -> torch.Tensor:
        factor = self.start + 1 if self.plus_one else self.start
        return self.start + self.change * factor


def block_norms(layer: Layer, spec: LayerSpec) -> Iterator[tuple[str, Norm]]:
    """Yield the norms around the two halves of a layer, and their names within it."""
    blocks = layer.mixer_block, layer.feed_forward_block
    norms = (norm for block in blocks for norm in (block.norm, block.post_norm))
    for name, norm in zip(norm_names(spec), norms, strict=True):
        if name is not None and norm is not None:
            yield name, norm


def with_norms(layer: Layer, spec: LayerSpec, weights: Mapping[str, torch.Tensor]) -> Layer:
    """Return a layer whose norms multiply by other weights, by the names of :func:`block_norms`."""
    names = norm_names(spec)

    def changed(norm: Norm | None, name: str | None) -> Norm | None:
        if norm is None or name is None or name not in weights:
            return norm
        return replace(norm, weight=weights[name])

    def block(old: Block, before: str | None, after: str | None) -> Block:
        return Block(changed(old.norm, before), changed(old.post_norm, after))

    return replace(
        layer,
        mixer_block=block(layer.mixer_block, *names[:2]),
        feed_forward_block=block(layer.feed_forward_block, *names[2:]),
    )
