"""Weights of a checkpoint in the form in which layers keep them."""

from collections.abc import Sequence

import torch

from localfp4.checkpoint.kinds import NVFP4, Dense, linear_kind, linear_shape
from localfp4.checkpoint.reader import Nvfp4Tensors, TensorReader, nvfp4_parts
from localfp4.errors import CheckpointError
from localfp4.models.execution import Execution
from localfp4.models.linear import Linear, make_linear
from localfp4_kernels.dispatch import Kind
from localfp4_kernels.formats.nvfp4 import Nvfp4Weight, dequantize_nvfp4_torch


class StoredWeights:
    """Reads weights by their names, checks their shapes, and brings them to a device.

    Attributes:
        reader: Where they are.
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

    def vector(self, name: str, size: int) -> torch.Tensor:
        """Read a one-dimensional tensor."""
        info = self.checkpoint.tensors.get(name)
        if info is not None and info.shape != (size,):
            raise misfit(name, info.shape, (size,))
        return self.reader.read(name).to(self.device, self.dtype)

    def matrix(self, prefix: str, shape: tuple[int, int]) -> torch.Tensor:
        """Read one linear or embedding in the compute type, ``[N, K]``."""
        return self._merged([prefix], [shape[0]], shape[1])

    def linear(
        self, prefixes: Sequence[str], rows: Sequence[int], columns: int, *, bias: bool
    ) -> Linear:
        """Read linears that take the same input as one.

        Those of 4 bits stay so where kernels read them and all are.
        """
        biases = [
            self.vector(f"{prefix}.bias", size)
            for prefix, size in zip(prefixes, rows, strict=True)
            if bias
        ]
        merged_bias = torch.cat(biases) if biases else None
        kinds = [linear_kind(self.checkpoint, prefix) for prefix in prefixes]
        if self.execution.keeps_packed and all(isinstance(kind, NVFP4) for kind in kinds):
            return self._fp4_linear(prefixes, rows, columns, merged_bias)
        return make_linear(self._merged(prefixes, rows, columns), merged_bias)

    def nvfp4(self, prefix: str, rows: int, columns: int) -> tuple[Nvfp4Tensors, int]:
        """Read an NVFP4 linear, and the bits of the activations it was made for."""
        kind = linear_kind(self.checkpoint, prefix)
        stored = linear_shape(self.checkpoint, prefix, kind)
        if stored != (rows, columns):
            raise misfit(f"{prefix}.weight", stored, (rows, columns))
        if not isinstance(kind, NVFP4):
            raise CheckpointError(f"'{prefix}' is not quantised, but its neighbours are.")
        bits = 4 if kind.activations == "nvfp4" else 16
        return nvfp4_parts(self.reader, prefix, kind), bits

    def on_device(self, parts: Nvfp4Tensors) -> Nvfp4Weight:
        """Bring an NVFP4 weight to the device."""
        return Nvfp4Weight(
            parts.packed.to(self.device),
            parts.scale.to(self.device),
            parts.global_scale.to(self.device),
        )

    def fill(
        self, weight: torch.Tensor, prefixes: Sequence[str], rows: Sequence[int], columns: int
    ) -> None:
        """Write the weights of ``prefixes`` one below the other into ``weight``, expanded."""
        for prefix, part in zip(prefixes, weight.split(list(rows)), strict=True):
            kind = linear_kind(self.checkpoint, prefix)
            stored = linear_shape(self.checkpoint, prefix, kind)
            if stored != (part.shape[0], columns):
                raise misfit(f"{prefix}.weight", stored, (part.shape[0], columns))
            if isinstance(kind, Dense):
                part.copy_(self.reader.read(f"{prefix}.weight"))
                continue
            packed = self.on_device(nvfp4_parts(self.reader, prefix, kind))
            part.copy_(dequantize_nvfp4_torch(packed))

    def _merged(self, prefixes: Sequence[str], rows: Sequence[int], columns: int) -> torch.Tensor:
        weight = torch.empty(sum(rows), columns, dtype=self.dtype, device=self.device)
        self.fill(weight, prefixes, rows, columns)
        return weight

    def _fp4_linear(
        self,
        prefixes: Sequence[str],
        rows: Sequence[int],
        columns: int,
        bias: torch.Tensor | None,
    ) -> Linear:
        # Triton takes a while to import, and only kernels need it.
        from localfp4.models.packed import Fp4Linear
        from localfp4_kernels.linear.prepare import prepare_nvfp4

        stored = [
            self.nvfp4(prefix, size, columns) for prefix, size in zip(prefixes, rows, strict=True)
        ]
        return Fp4Linear(
            weight=prepare_nvfp4([self.on_device(parts) for parts, _ in stored]),
            kind=Kind.NVFP4,
            activations=max(bits for _, bits in stored),
            input_scale=self._input_scale([parts for parts, _ in stored]),
            bias=bias,
            execution=self.execution,
        )

    def _input_scale(self, parts: Sequence[Nvfp4Tensors]) -> torch.Tensor | None:
        """Return one scale for an input that several linears share: the largest, so none clips."""
        scales = [part.input_scale for part in parts if part.input_scale is not None]
        return torch.stack(scales).max().to(self.device) if scales else None


def misfit(name: str, stored: Sequence[int], wanted: Sequence[int]) -> CheckpointError:
    """Return the error of a tensor whose shape is not what the config asks for."""
    return CheckpointError(
        f"Tensor '{name}' has shape {list(stored)}, but config.json asks for {list(wanted)}: "
        "weights and config do not belong together."
    )
