"""What a checkpoint's own files call the linears of a decoder; torch-free.

Wrappers and families spell names in their own way, and loaders look for those of the original.
Experts that lie in one tensor are written one by one, beside where that tensor was, as llm-compressor
and ModelOpt do.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.rounded.pieces import DenseStack, expert_pieces

WEIGHT = ".weight"

_EMBEDDING = "embed_tokens"
_EXPERTS = ".experts."


class FileNames:
    """Names of one checkpoint."""

    def __init__(self, checkpoint: Checkpoint, stacks: Sequence[DenseStack]) -> None:
        """Take its language model under canonical names, and its experts that share a tensor."""
        self._checkpoint = checkpoint
        self._stacks = stacks
        self._containers = {
            _mixture(stack.name): checkpoint.tensors[stack.name].name.rpartition(".")[0]
            for stack in stacks
        }

    def module(self, prefix: str) -> str:
        """Return what the files call a linear, or would call an expert of a stack.

        Args:
            prefix: Its canonical name, such as ``model.layers.0.mlp.experts.7.gate_proj``.
        """
        info = self._checkpoint.tensors.get(prefix + WEIGHT)
        if info is not None:
            return info.name.removesuffix(WEIGHT)
        return f"{self._containers[_mixture(prefix)]}.{prefix.partition(_EXPERTS)[2]}"

    def stacks_of(self, prefixes: Iterable[str]) -> list[DenseStack]:
        """Return all stacks of the mixtures that some experts belong to."""
        mixtures = {_mixture(prefix) for prefix in prefixes if _EXPERTS in prefix}
        return [stack for stack in self._stacks if _mixture(stack.name) in mixtures]

    def kept_linears(self, quantised: Collection[str]) -> Iterator[str]:
        """Yield what the files call the linears that stay as they are, embeddings apart.

        Experts that stay in one tensor are named as if they were written one by one: so do loaders.

        Args:
            quantised: Canonical names of those that do not.
        """
        for name, info in self._checkpoint.tensors.items():
            prefix = name.removesuffix(WEIGHT)
            is_linear = name.endswith(WEIGHT) and len(info.shape) == 2
            if is_linear and prefix not in quantised and _EMBEDDING not in prefix:
                yield info.name.removesuffix(WEIGHT)
        for stack in self._stacks:
            for piece in expert_pieces(self._checkpoint, stack):
                kept = (cut for cut in piece.cuts if cut.is_weight)
                yield from (self.module(cut.prefix) for cut in kept if cut.prefix not in quantised)

    def embeddings(self) -> Iterator[str]:
        """Yield what the files call the tables of embeddings."""
        for name, info in self._checkpoint.tensors.items():
            if name.endswith(WEIGHT) and _EMBEDDING in name:
                yield info.name.removesuffix(WEIGHT)


def _mixture(name: str) -> str:
    """Return the module that experts are a part of, such as ``model.layers.0.mlp``."""
    return name.partition(_EXPERTS)[0]
