"""How weights are stored, in words for a status line; torch-free."""

from collections import Counter

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import (
    FP8,
    INT4,
    MXFP4,
    NVFP4,
    Dense,
    LinearKind,
    format_of,
    module_names,
)
from localfp4.checkpoint.quant_config import Activations
from localfp4.checkpoint.rounded.checkpoint import RoundedCheckpoint
from localfp4.checkpoint.stacks import Stack, stored_stacks

_WIDTHS: dict[Activations, str] = {"none": "W4A16", "fp8": "W4A8", "nvfp4": "W4A4", "mxfp4": "W4A4"}
_INT4_LAYOUTS = {"awq": " (AWQ)", "gptq": " (GPTQ)", "pack-quantized": ""}
_MOST_NAMES = 3
_ROUNDED = ", rounded while loading"


def describe_kind(kind: LinearKind) -> str:
    """Put a kind into words, such as ``NVFP4 W4A16`` or ``FP8 block 128x128``."""
    parts = [_name(kind)]
    if kind.transform.factors:
        parts.append("input factors")
    if kind.transform.rotation:
        parts.append(f"Hadamard {kind.transform.rotation}")
    if kind.transform.low_rank:
        parts.append("low rank")
    return " + ".join(parts)


def describe_stack(stack: Stack) -> str:
    """Put experts in one tensor into words, such as ``MXFP4 W4A16``."""
    if stack.format == "dense":
        return "dense"
    if stack.format == "fp8":
        return "FP8 per tensor"
    return f"{stack.format.removesuffix('-rows').upper()} {_WIDTHS[stack.activations]}"


def format_name(checkpoint: Checkpoint) -> str:
    """Name the weights for a status line, such as ``BF16`` or ``NVFP4 W4A16``.

    Dense modules beside quantised ones, such as norms and routers, do not count. Of several
    formats the one with the most bytes comes first; more than a few are ``mixed``.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: A module needs what this version lacks.
    """
    dense, quantised = _counted(checkpoint)
    if not quantised:
        return dense.most_common(1)[0][0] if dense else "mixed"
    return _listed(quantised) + (_ROUNDED if isinstance(checkpoint, RoundedCheckpoint) else "")


def quantised_formats(checkpoint: Checkpoint) -> str:
    """Name what is quantised as :func:`format_name` does; empty where nothing is.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: A module needs what this version lacks.
    """
    _, quantised = _counted(checkpoint)
    return _listed(quantised) if quantised else ""


def _listed(quantised: Counter[str]) -> str:
    names = [name for name, _ in quantised.most_common()]
    return ", ".join(names) if len(names) <= _MOST_NAMES else "mixed"


def _counted(checkpoint: Checkpoint) -> tuple[Counter[str], Counter[str]]:
    """Count the bytes of each type of plain weights, and of each format of quantised ones."""
    dense: Counter[str] = Counter()
    quantised: Counter[str] = Counter()
    for prefix in sorted(module_names(checkpoint)):
        form = format_of(checkpoint, prefix)
        if form is None:
            continue
        size = sum(checkpoint.tensors[prefix + suffix].nbytes for suffix in form.tensors)
        kind = form.describe(checkpoint, prefix) if form.describe else None
        if isinstance(kind, Dense) and not kind.transform.rotation:
            dense[kind.dtype] += size
        else:
            quantised[describe_kind(kind) if kind else form.name] += size
    quantised.update(_stacks(checkpoint))
    return dense, quantised


def _name(kind: LinearKind) -> str:
    match kind:
        case Dense():
            return kind.dtype
        case NVFP4(group_size=16):
            return f"NVFP4 {_WIDTHS[kind.activations]}"
        case NVFP4():
            return f"NVFP4 {_WIDTHS[kind.activations]} group {kind.group_size}"
        case MXFP4():
            return f"MXFP4 {_WIDTHS[kind.activations]}"
        case FP8():
            return _fp8_name(kind)
        case INT4():
            scaling = "per channel" if kind.channel else f"group {kind.group_size}"
            return f"INT4 {scaling}{_INT4_LAYOUTS[kind.layout]}"


def _fp8_name(kind: FP8) -> str:
    if kind.scaling == "mx":
        return "MXFP8"
    if kind.scaling == "block":
        return f"FP8 block {kind.block[0]}x{kind.block[1]}"
    return f"FP8 per {kind.scaling}"


def _stacks(checkpoint: Checkpoint) -> Counter[str]:
    """Count the bytes of experts in one quantised tensor, by format."""
    found: Counter[str] = Counter()
    for _, stack, size in stored_stacks(checkpoint):
        found[describe_stack(stack)] += size
    return found
