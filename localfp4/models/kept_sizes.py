"""The bytes that kernels keep of a model's weights, from its headers alone; torch-free."""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import (
    INT4,
    Dense,
    LinearKind,
    format_of,
    linear_kind,
    linear_shape,
    module_names,
)
from localfp4.checkpoint.stacks import BLOCKS, SCALES, Stack, stored_stacks
from localfp4.models.kernel_kind import kernel_kind
from localfp4.models.spec import DecoderSpec
from localfp4_kernels.dispatch import Kind

_EXPERT = re.compile(r"\.experts\.\d+(?=\.)", re.ASCII)
_OF_STACKS = (BLOCKS, SCALES, "_weight_scale")

_ROW = 4
"""Bytes of the scale that kernels give every row of 4 or 8 bits, whatever the file has."""

_LARGEST_INT4_GROUP = 128
_INT4_GROUP_BYTES = 4
"""A scale and an offset, float16 each."""

_FP8_BLOCK = 128


@dataclass(frozen=True, slots=True)
class _Quantised:
    """Matrices, or stacks of them, of one format and shape.

    Attributes:
        prefixes: Their names; experts of a layer stand together.
        kind: How they are stored.
        shape: Of one.
    """

    prefixes: list[str]
    kind: LinearKind | Stack
    shape: tuple[int, ...]

    @property
    def mixture(self) -> str:
        """Name of the mixture whose experts they are; empty for others."""
        before, is_one, _ = self.prefixes[0].partition(".experts.")
        return before if is_one else ""


def kept_bytes(checkpoint: Checkpoint, spec: DecoderSpec, element: int) -> dict[str, int]:
    """Return what lies in memory of each plain tensor, and of each quantised matrix by its name.

    Only values can tell that kernels do not read a matrix as it is stored for the order of its
    columns, or for a rotation of its own: they are taken to read it.

    Args:
        checkpoint: The headers.
        spec: The model.
        element: Bytes of a number of the type to which is expanded what kernels do not read.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: A module is stored in a format that is not supported.
    """
    found = [*_linears(checkpoint, spec), *_stacks(checkpoint)]
    kinds: dict[str, set[Kind]] = defaultdict(set)
    for one in found:
        kinds[one.mixture].add(kernel_kind(one.kind))
    kept = {}
    for one in found:
        unlike = bool(one.mixture) and len(kinds[one.mixture]) > 1
        size = _size(one, Kind.BF16 if unlike else kernel_kind(one.kind), element)
        kept.update(dict.fromkeys(one.prefixes, size))
    plain = {
        name: info.nbytes
        for name, info in checkpoint.tensors.items()
        if not _is_part(name, kept.keys())
    }
    return plain | kept


def _linears(checkpoint: Checkpoint, spec: DecoderSpec) -> Iterator[_Quantised]:
    """Yield what is quantised; one expert of a layer stands for the others."""
    alike: dict[str, list[str]] = defaultdict(list)
    for prefix in sorted(module_names(checkpoint)):
        alike[_EXPERT.sub(".experts.*", prefix)].append(prefix)
    for prefixes in alike.values():
        first = prefixes[0]
        is_unused = first.startswith("mtp.") and not spec.mtp
        if is_unused or format_of(checkpoint, first) is None:
            continue
        kind = linear_kind(checkpoint, first)
        if not isinstance(kind, Dense):
            yield _Quantised(prefixes, kind, linear_shape(checkpoint, first, kind))


def _stacks(checkpoint: Checkpoint) -> Iterator[_Quantised]:
    for name, stack, _ in stored_stacks(checkpoint):
        yield _Quantised([name], stack, stack.shape)


def _is_part(name: str, quantised: Collection[str]) -> bool:
    """Say whether a tensor is a part of something quantised: its codes or scales, not its bias."""
    if name in quantised:
        return True
    module, _, last = name.rpartition(".")
    if module in quantised:
        return last != "bias"
    return any(name.endswith(end) and name.removesuffix(end) in quantised for end in _OF_STACKS)


def _size(one: _Quantised, kind: Kind, element: int) -> int:
    numbers, rows, columns = math.prod(one.shape), math.prod(one.shape[:-1]), one.shape[-1]
    match kind:
        case Kind.NVFP4:
            return numbers // 2 + numbers // 16 + _ROW * rows
        case Kind.NVFP4_G32 | Kind.MXFP4:
            return numbers // 2 + numbers // 32 + _ROW * rows
        case Kind.FP8:
            return numbers + _ROW * rows
        case Kind.FP8_BLOCK:
            return numbers + _ROW * -(-rows // _FP8_BLOCK) * -(-columns // _FP8_BLOCK)
        case Kind.INT4:
            stored = one.kind.group_size if isinstance(one.kind, INT4) else columns
            groups = numbers // math.gcd(stored, _LARGEST_INT4_GROUP)
            return numbers // 2 + _INT4_GROUP_BYTES * groups + _ROW * rows
    return numbers * element
