"""What is written in place of tensors of the original: rounded, replaced, taken apart, or as it was."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.reader import TensorReader
from localfp4.checkpoint.rounded.pieces import DenseStack, Piece, expert_pieces
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.quantize.export.layouts import linear_tensors
from localfp4.quantize.export.names import WEIGHT, FileNames
from localfp4.quantize.export.safetensors_file import Entry
from localfp4.quantize.export.shards import NamedTensors
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult


def layer_entries(
    tensors: NamedTensors,
    decoder: Checkpoint,
    names: FileNames,
    recipe: Recipe,
    result: LayerResult,
) -> Iterator[Entry]:
    """Yield what is written in place of some tensors.

    Args:
        tensors: Of the original, by canonical names.
        decoder: All that they are a part of.
        names: What its files call things.
        recipe: Whose layout is written, and for which inputs.
        result: What was decided.

    Raises:
        CheckpointError: The original changed meanwhile.
    """
    rounded = _Rounded(decoder, names, recipe, result)
    for name, info in tensors:
        if name in result.replaced:
            yield Entry.of_tensor(info.name, result.replaced[name])
        elif name.removesuffix(WEIGHT) in rounded.linears:
            yield from rounded.linear(name.removesuffix(WEIGHT))
        elif name in rounded.stacks:
            yield from rounded.experts(rounded.stacks[name])
        elif name not in rounded.biases:
            yield Entry.carried(info)


class _Rounded:
    """The linears of a result, by canonical names, and the stacks that some of them lie in."""

    def __init__(
        self, decoder: Checkpoint, names: FileNames, recipe: Recipe, result: LayerResult
    ) -> None:
        self._decoder = decoder
        self._names = names
        self._recipe = recipe
        self.linears = {
            prefix: (site, start, end)
            for site in result.sites
            for prefix, start, end in site.site.parts()
        }
        self.stacks = {stack.name: stack for stack in names.stacks_of(self.linears)}
        self.biases = {f"{name}_bias" for name, stack in self.stacks.items() if stack.bias}

    def linear(self, prefix: str) -> Iterator[Entry]:
        """Yield the tensors of a linear."""
        site, start, end = self.linears[prefix]
        recipe, module = self._recipe, self._names.module(prefix)
        tensors = linear_tensors(site, start, end, recipe.export, recipe.precision)
        for suffix, tensor in tensors.items():
            yield Entry.of_tensor(module + suffix, tensor)

    def experts(self, stack: DenseStack) -> Iterator[Entry]:
        """Yield the linears and biases of a stack; what was not rounded is cut out of it."""
        for piece in expert_pieces(self._decoder, stack):
            cut_out = [cut for cut in piece.cuts if cut.prefix not in self.linears]
            for cut in piece.cuts:
                if cut.prefix in self.linears:
                    yield from self.linear(cut.prefix)
            whole = self._read(piece) if cut_out else torch.empty(0)
            for cut in cut_out:
                prefix, _, kind = cut.name.rpartition(".")
                yield Entry.of_tensor(f"{self._names.module(prefix)}.{kind}", whole[cut.rows])

    def _read(self, piece: Piece) -> torch.Tensor:
        """Read the matrix or the bias of one expert."""
        own: Mapping[str, TensorInfo] = MappingProxyType({piece.name: piece.info})
        with TensorReader(replace(self._decoder, tensors=own)) as reader:
            whole = reader.read(piece.name)
        return whole.T if piece.transposed else whole
