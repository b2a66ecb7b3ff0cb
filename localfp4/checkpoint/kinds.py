"""What each linear is stored as, decided from its tensors; torch-free, reads no tensor.

The one place that tells formats apart. Names in configs are not trusted for this: exporters write
ignore lists and targets that do not match their own files. A new format is a new row of
:data:`FORMATS`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localfp4.checkpoint.display import listed, shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.nvfp4 import (
    NAMES,
    NVFP4,
    PACKED_DTYPES,
    compressed_tensors_kind,
    group_size_of,
    modelopt_kind,
    packed_shape,
)
from localfp4.errors import CheckpointError, UnsupportedModelError

__all__ = [
    "DENSE_DTYPES",
    "FORMATS",
    "NVFP4",
    "Dense",
    "Format",
    "LinearKind",
    "format_name",
    "linear_is_stored",
    "linear_kind",
    "linear_shape",
]

DENSE_DTYPES = ("BF16", "F16", "F32")
_FP8 = ("F8_E4M3", "F8_E5M2")
_E8M0 = ("U8", "F8_E8M0")
_ANY: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dense:
    """A plain matrix ``prefix.weight``; ``dtype`` is ``BF16``, ``F16`` or ``F32``."""

    dtype: str


LinearKind = Dense | NVFP4


@dataclass(frozen=True, slots=True)
class Format:
    """A way to store a linear: the tensors that betray it, and how to describe it.

    Attributes:
        name: What people call it.
        tensors: Suffixes after the module's name to the dtypes accepted (none given: any).
        describe: Returns the kind; ``None`` where this version cannot run the format.
        group_size: Weights to a block scale, where only that sets the format apart.
    """

    name: str
    tensors: Mapping[str, tuple[str, ...]]
    describe: Callable[[Checkpoint, str], LinearKind] | None = None
    group_size: int | None = None


def _dense_kind(checkpoint: Checkpoint, prefix: str) -> Dense:
    return Dense(checkpoint.tensors[prefix + ".weight"].dtype)


_CT_NVFP4 = {
    ".weight_packed": PACKED_DTYPES,
    ".weight_scale": ("F8_E4M3",),
    ".weight_global_scale": _ANY,
}
_MO_NVFP4 = {
    ".weight": PACKED_DTYPES,
    ".weight_scale": ("F8_E4M3",),
    ".weight_scale_2": _ANY,
}

# The first row that fits wins, so a format stands above those it adds tensors to.
FORMATS: tuple[Format, ...] = (
    Format("ModelOpt NVFP4_SVD", {".weight_quantizer._svdquant_lora_a": _ANY}),
    Format("ModelOpt NVFP4_SVD", {".svdquant_lora_a": _ANY}),
    Format("ModelOpt AWQ with its own pre_quant_scale", {".pre_quant_scale": _ANY}),
    Format("compressed-tensors with reordered groups", {".weight_g_idx": _ANY}),
    Format("NVFP4", _CT_NVFP4, compressed_tensors_kind),
    Format("compressed-tensors MXFP4", {".weight_packed": PACKED_DTYPES, ".weight_scale": _E8M0}),
    Format("compressed-tensors INT pack-quantized", {".weight_packed": ("I32",)}),
    Format("ModelOpt W4A8_NVFP4_FP8", _MO_NVFP4, group_size=32),
    Format("NVFP4", _MO_NVFP4, modelopt_kind),
    Format("ModelOpt stacked experts", {"_weight_scale": _ANY, "": PACKED_DTYPES}),
    Format("gpt-oss native MXFP4", {"_blocks": ("U8",), "_scales": _E8M0}),
    Format("FP-Quant", {".forward_hadamard_matrix": _ANY}),
    Format("FP-Quant", {".qweight": ("U8",), ".scales": _ANY}),
    Format("GPTQ", {".qweight": ("I32",), ".g_idx": _ANY}),
    Format("AWQ", {".qweight": ("I32",), ".qzeros": _ANY}),
    Format("torchao", {"._weight_qdata": _ANY}),
    Format("bitsandbytes 4-bit", {".weight.absmax": _ANY}),
    Format("bitsandbytes INT8", {".SCB": _ANY}),
    Format("DeepSeek native MXFP4", {".weight": PACKED_DTYPES, ".scale": _E8M0}),
    Format("MXFP4 (ModelOpt or Quark)", {".weight": ("U8", "F4"), ".weight_scale": _E8M0}),
    Format("INT8", {".weight": ("I8",)}),
    Format("MXFP8", {".weight": _FP8, ".weight_scale": _E8M0}),
    Format("FP8", {".weight": _FP8}),
    Format(
        "compressed-tensors not yet compressed", {".weight": DENSE_DTYPES, ".weight_scale": _ANY}
    ),
    Format("dense", {".weight": DENSE_DTYPES}, _dense_kind),
)


def linear_kind(checkpoint: Checkpoint, prefix: str) -> LinearKind:
    """Say how the linear (or embedding) at ``prefix`` is stored, checked against its shapes.

    Raises:
        CheckpointError: There is no such module, or its tensors contradict each other.
        UnsupportedModelError: It is stored in a format this version cannot run.
    """
    form = _format_of(checkpoint, prefix)
    if form is None:
        raise _unknown(checkpoint, prefix)
    if form.describe is None:
        raise UnsupportedModelError(
            f"{shown(prefix)} is stored as {form.name}, which this version cannot run: "
            "it runs BF16, F16, F32 and NVFP4 (compressed-tensors or ModelOpt) weights."
        )
    return form.describe(checkpoint, prefix)


def linear_is_stored(checkpoint: Checkpoint, prefix: str) -> bool:
    """Say whether there is a linear at ``prefix``, in whatever format that is known."""
    return _format_of(checkpoint, prefix) is not None


def linear_shape(checkpoint: Checkpoint, prefix: str, kind: LinearKind) -> tuple[int, ...]:
    """Return the logical weight shape, [out features, in features], of a described linear."""
    if isinstance(kind, Dense):
        return checkpoint.tensors[prefix + ".weight"].shape
    return packed_shape(checkpoint.tensors[prefix + NAMES[kind.layout].packed])


def format_name(checkpoint: Checkpoint) -> str:
    """Name the weights for a status line, such as ``BF16``, ``NVFP4 W4A16`` or ``mixed``.

    Dense modules beside quantised ones, such as norms and routers, do not count.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: An NVFP4 module needs what this version lacks.
    """
    names: set[str] = set()
    dense_bytes: Counter[str] = Counter()
    for prefix in sorted(_prefixes(checkpoint)):
        form = _format_of(checkpoint, prefix)
        if form is None:
            continue
        kind = form.describe(checkpoint, prefix) if form.describe else None
        if isinstance(kind, Dense):
            dense_bytes[kind.dtype] += checkpoint.tensors[prefix + ".weight"].nbytes
        elif isinstance(kind, NVFP4):
            names.add(f"{form.name} {'W4A16' if kind.activations == 'none' else 'W4A4'}")
        else:
            names.add(form.name)
    if not names and dense_bytes:
        return dense_bytes.most_common(1)[0][0]
    return names.pop() if len(names) == 1 else "mixed"


def _prefixes(checkpoint: Checkpoint) -> set[str]:
    """Return every name that, with the first suffix of some format, is a tensor."""
    anchors = tuple({next(iter(form.tensors)) for form in FORMATS})
    return {
        name.removesuffix(anchor)
        for name in checkpoint.tensors
        for anchor in anchors
        if name.endswith(anchor)
    }


def _format_of(checkpoint: Checkpoint, prefix: str) -> Format | None:
    return next((form for form in FORMATS if _fits(form, checkpoint, prefix)), None)


def _fits(form: Format, checkpoint: Checkpoint, prefix: str) -> bool:
    found = [(checkpoint.tensors.get(prefix + s), dtypes) for s, dtypes in form.tensors.items()]
    if not all(info and (not dtypes or info.dtype in dtypes) for info, dtypes in found):
        return False
    if form.group_size is None:
        return True
    packed, scale, *_ = (checkpoint.tensors[prefix + suffix] for suffix in form.tensors)
    return group_size_of(packed, scale) == form.group_size


def _unknown(checkpoint: Checkpoint, prefix: str) -> CheckpointError | UnsupportedModelError:
    present = sorted(name for name in checkpoint.tensors if name.startswith(prefix + "."))
    if not present:
        return CheckpointError(
            f"{shown(checkpoint.folder)} has no tensor {shown(prefix)}.weight; "
            "its weights do not fit its config.json."
        )
    kinds = [f"{name} {checkpoint.tensors[name].dtype}" for name in present]
    return UnsupportedModelError(
        f"{shown(prefix)} is stored in a way this version does not know ({listed(kinds)})."
    )
