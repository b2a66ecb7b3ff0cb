"""Weights of a checkpoint in the form in which layers keep them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.checkpoint.kinds import Dense, LinearKind, linear_kind, linear_shape
from localfp4.checkpoint.read_linear import read_linear, read_transform
from localfp4.checkpoint.reader import TensorReader
from localfp4.checkpoint.tensors import (
    Fp8Tensors,
    Int4Tensors,
    LinearTensors,
    Mxfp4Tensors,
    Nvfp4Tensors,
    TransformTensors,
    with_tensors,
)
from localfp4.errors import CheckpointError
from localfp4.models.execution import Execution
from localfp4.models.expand import expand_into
from localfp4.models.linear import Linear, make_linear


@dataclass(frozen=True, slots=True)
class StoredLinear:
    """A linear as it is stored.

    Attributes:
        kind: What it is stored as.
        tensors: Its weight, on the device.
        transform: What its input goes through first, on the CPU.
    """

    kind: LinearKind
    tensors: LinearTensors
    transform: TransformTensors

    @property
    def rows(self) -> int:
        """Rows N of the weight."""
        return _codes(self.tensors).shape[0]

    @property
    def columns(self) -> int:
        """Columns K of the weight."""
        paired = isinstance(self.tensors, Nvfp4Tensors | Mxfp4Tensors | Int4Tensors)
        return _codes(self.tensors).shape[1] * (2 if paired else 1)

    @property
    def device(self) -> torch.device:
        """Where the weight is."""
        return _codes(self.tensors).device

    def expand_into(self, out: torch.Tensor) -> None:
        """Write the matrix by which the input itself is multiplied into ``out`` ``[N, K]``."""
        expand_into(out, self.tensors, self.transform)


class StoredWeights:
    """Reads weights by their names, checks their shapes, and brings them to a device.

    Attributes:
        reader: Where they are.
        checkpoint: What the reader reads.
        dtype: Compute type, which expanded weights are in.
        device: Where they go.
        execution: Whether quantised weights stay as they are stored.
    """

    def __init__(
        self,
        reader: TensorReader,
        dtype: torch.dtype,
        device: torch.device,
        execution: Execution,
    ) -> None:
        self.reader = reader
        self.dtype = dtype
        self.device = device
        self.execution = execution
        self.checkpoint = reader.checkpoint

    def vector(self, name: str, size: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Read a one-dimensional tensor, in the compute type where no other is asked for."""
        info = self.checkpoint.tensors.get(name)
        if info is not None and info.shape != (size,):
            raise misfit(name, info.shape, (size,))
        return self.reader.read(name).to(self.device, dtype or self.dtype, non_blocking=True)

    def matrix(
        self, prefix: str, shape: tuple[int, int], dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Read one linear or embedding ``[N, K]``, in the compute type as :meth:`vector` is."""
        return self._merged([prefix], [shape[0]], shape[1], dtype)

    def linear(
        self, prefixes: Sequence[str], rows: Sequence[int], columns: int, *, bias: bool
    ) -> Linear:
        """Read linears that take the same input as one.

        Quantised ones stay so where kernels read them.
        """
        biases = [
            self.vector(f"{prefix}.bias", size)
            for prefix, size in zip(prefixes, rows, strict=True)
            if bias
        ]
        as_stored = self.execution.keeps_packed or self.execution.emulated is not None
        if as_stored and any(self._is_quantised(prefix) for prefix in prefixes):
            parts = [
                self.read(prefix, size, columns)
                for prefix, size in zip(prefixes, rows, strict=True)
            ]
            return self._as_stored(parts, biases)
        merged_bias = torch.cat(biases) if biases else None
        return make_linear(self._merged(prefixes, rows, columns), merged_bias)

    def kind(self, prefix: str, rows: int, columns: int) -> LinearKind:
        """Say how a linear is stored, checked against the shape it should have.

        Raises:
            CheckpointError: It has another shape, or is missing.
            UnsupportedModelError: It is stored in a format this version cannot run.
        """
        kind = linear_kind(self.checkpoint, prefix)
        stored = linear_shape(self.checkpoint, prefix, kind)
        if stored != (rows, columns):
            raise misfit(f"{prefix}.weight", stored, (rows, columns))
        return kind

    def read(self, prefix: str, rows: int, columns: int) -> StoredLinear:
        """Read a linear as it is stored."""
        kind = self.kind(prefix, rows, columns)
        return StoredLinear(
            kind,
            self.on_device(read_linear(self.reader, prefix, kind)),
            read_transform(self.reader, prefix, kind),
        )

    def on_device(self, tensors: LinearTensors) -> LinearTensors:
        """Bring a weight to the device; what packs it there is queued behind the copy."""
        return with_tensors(tensors, lambda tensor: tensor.to(self.device, non_blocking=True))

    def fill(
        self, weight: torch.Tensor, prefixes: Sequence[str], rows: Sequence[int], columns: int
    ) -> None:
        """Write the weights of ``prefixes`` one below the other into ``weight``, expanded."""
        for prefix, part in zip(prefixes, weight.split(list(rows)), strict=True):
            kind = self.kind(prefix, part.shape[0], columns)
            if isinstance(kind, Dense) and not kind.transform.rotation:
                part.copy_(self.reader.read(f"{prefix}.weight"))
            elif not part.is_meta:
                self.read(prefix, part.shape[0], columns).expand_into(part)

    def _is_quantised(self, prefix: str) -> bool:
        return not isinstance(linear_kind(self.checkpoint, prefix), Dense)

    def _as_stored(self, parts: Sequence[StoredLinear], biases: Sequence[torch.Tensor]) -> Linear:
        """Return a linear for kernels, or one that rounds as they do."""
        if self.execution.emulated is not None:
            # It is made of what is read here.
            from localfp4.models.emulate import emulated_linear

            return emulated_linear(parts, biases, self.dtype, self.execution)
        # Triton takes a while to import, and only kernels need it.
        from localfp4.models.pack_linear import pack_linear

        return pack_linear(parts, biases, self.dtype, self.execution)

    def _merged(
        self,
        prefixes: Sequence[str],
        rows: Sequence[int],
        columns: int,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        for prefix, size in zip(prefixes, rows, strict=True):
            self.kind(prefix, size, columns)  # a config's absurd sizes must not take memory
        weight = torch.empty(sum(rows), columns, dtype=dtype or self.dtype, device=self.device)
        self.fill(weight, prefixes, rows, columns)
        return weight


def _codes(tensors: LinearTensors) -> torch.Tensor:
    """Return the numbers that scales belong to."""
    match tensors:
        case torch.Tensor():
            return tensors
        case Fp8Tensors():
            return tensors.data
    return tensors.packed


def misfit(name: str, stored: Sequence[int], wanted: Sequence[int]) -> CheckpointError:
    """Return the error of a tensor whose shape is not what the config asks for."""
    return CheckpointError(
        f"Tensor '{name}' has shape {list(stored)}, but config.json asks for {list(wanted)}: "
        "weights and config do not belong together."
    )
