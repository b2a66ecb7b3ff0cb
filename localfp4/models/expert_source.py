"""One product of every expert of a mixture, wherever a checkpoint keeps it.

It may be a linear of its own for each expert, or one tensor for all of them.
"""

from dataclasses import dataclass
from functools import partial

import torch

from localfp4.checkpoint.kinds import LinearKind
from localfp4.checkpoint.read_stack import read_stack
from localfp4.checkpoint.reader import OutlineReader
from localfp4.checkpoint.stacks import Stack, stack_kind
from localfp4.checkpoint.tensors import LinearTensors, with_tensors
from localfp4.models.expand import expand
from localfp4.models.expert_names import expert_prefixes, stack_name
from localfp4.models.stored import StoredLinear, StoredWeights, misfit
from localfp4_kernels.linear.prepare import split_gate_up


@dataclass(frozen=True, slots=True)
class Projection:
    """A product of every expert.

    Attributes:
        module: The module whose child is ``experts``.
        parts: Which linears it merges, of ``gate``, ``up`` and ``down``.
        experts: E.
        rows: Rows of each part.
        columns: K.
        interleaved: Whether a tensor for all experts alternates between gate and up.
        bias: Whether there are biases.
    """

    module: str
    parts: tuple[str, ...]
    experts: int
    rows: int
    columns: int
    interleaved: bool
    bias: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Experts E, rows N of all parts, and columns K."""
        return self.experts, len(self.parts) * self.rows, self.columns


def find_experts(
    stored: StoredWeights, projection: Projection
) -> "SeparateExperts | StackedExperts":
    """Find a projection by the names that are in use.

    Raises:
        CheckpointError: A tensor has another shape than it should.
        UnsupportedModelError: It is stored in a format that is not supported.
    """
    name = stack_name(stored.checkpoint, projection.module, projection.parts)
    if name is None:
        prefixes = expert_prefixes(
            stored.checkpoint, projection.module, projection.experts, projection.parts
        )
        kinds = frozenset(
            stored.kind(prefix, projection.rows, projection.columns)
            for parts in prefixes
            for prefix in parts
        )
        return SeparateExperts(stored, projection, prefixes, kinds)
    stack = stack_kind(stored.checkpoint, name, projection.shape, transposed=projection.interleaved)
    return StackedExperts(stored, projection, name, stack)


@dataclass(frozen=True, slots=True)
class SeparateExperts:
    """A linear of its own for each expert and part.

    Attributes:
        stored: Where they are.
        projection: Which product it is.
        prefixes: Names of each expert's parts.
        kinds: Every way in which a part is stored.
    """

    stored: StoredWeights
    projection: Projection
    prefixes: list[list[str]]
    kinds: frozenset[LinearKind]

    def linears(self, expert: int) -> list[StoredLinear]:
        """Read the parts of an expert as they are stored."""
        one = self.projection
        return [self.stored.read(prefix, one.rows, one.columns) for prefix in self.prefixes[expert]]

    def foretell(self) -> None:
        """Tell an outline, after the first expert's parts, that the others' will be read."""
        reader = self.stored.reader
        if isinstance(reader, OutlineReader):
            reader.repeat(self.prefixes)

    def expanded(self) -> torch.Tensor:
        """Read it in the compute type, ``[E, N, K]``, gate rows first."""
        one, stored = self.projection, self.stored
        stored.kind(self.prefixes[0][0], one.rows, one.columns)  # before memory is taken
        stack = torch.empty(one.shape, dtype=stored.dtype, device=stored.device)
        for weight, prefixes in zip(stack, self.prefixes, strict=True):
            stored.fill(weight, prefixes, [one.rows] * len(prefixes), one.columns)
        return stack

    def bias(self) -> torch.Tensor | None:
        """Read the biases, ``[E, N]``, if the model has them."""
        if not self.projection.bias:
            return None
        rows = self.projection.rows
        return torch.stack(
            [
                torch.cat([self.stored.vector(f"{prefix}.bias", rows) for prefix in prefixes])
                for prefixes in self.prefixes
            ]
        )


@dataclass(frozen=True, slots=True)
class StackedExperts:
    """One tensor for all experts, called ``name``."""

    stored: StoredWeights
    projection: Projection
    name: str
    stack: Stack

    def tensors(self) -> LinearTensors:
        """Read it as it is stored, with gate rows first."""
        found = self.stored.on_device(read_stack(self.stored.reader, self.name, self.stack))
        return with_tensors(found, self._gate_first)

    def expanded(self) -> torch.Tensor:
        """Read it in the compute type, ``[E, N, K]``, gate rows first."""
        found, stored = self.tensors(), self.stored
        if isinstance(found, torch.Tensor):
            return found.to(stored.dtype)
        wide = torch.empty(self.projection.shape, dtype=stored.dtype, device=stored.device)
        # One expert at a time: in float32 all of them would take eight times what is stored.
        for expert, weight in enumerate(wide if not wide.is_meta else ()):
            one = with_tensors(found, partial(_of_expert, expert))
            weight.copy_(expand(one))
        return wide

    def bias(self) -> torch.Tensor | None:
        """Read the biases, ``[E, N]``, if the model has them."""
        if not self.projection.bias:
            return None
        name, shape = f"{self.name}_bias", self.projection.shape[:2]
        info = self.stored.checkpoint.tensors.get(name)
        if info is not None and info.shape != shape:
            raise misfit(name, info.shape, shape)
        bias = self.stored.reader.read(name).to(self.stored.device, self.stored.dtype)
        return self._gate_first(bias)

    def _gate_first(self, tensor: torch.Tensor) -> torch.Tensor:
        """Bring what has a row for each row of the weights into the order of the kernels."""
        one = self.projection
        alternates = one.interleaved and len(one.parts) > 1
        if not alternates or tensor.dim() < 2 or tensor.shape[1] != one.shape[1]:
            return tensor
        return split_gate_up(tensor, 1)


def _of_expert(expert: int, tensor: torch.Tensor) -> torch.Tensor:
    """Take an expert's part of a stack; a single number belongs to all."""
    return tensor[expert] if tensor.dim() else tensor


ExpertSource = SeparateExperts | StackedExperts
"""Where a projection lies."""
