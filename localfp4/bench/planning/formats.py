"""Which engine runs a model in a format, which other format runs in its place, or why none can.

What a card can multiply is for :mod:`localfp4_kernels.dispatch` to say; torch-free.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.fp8 import FP8
from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.int4 import INT4
from localfp4.checkpoint.inventory import Weights, inventory
from localfp4.checkpoint.kinds import Dense, LinearKind
from localfp4.checkpoint.mxfp4 import MXFP4
from localfp4.checkpoint.rounded.checkpoint import already_quantised, refused_roundings
from localfp4.checkpoint.stacks import Stack
from localfp4.config import EngineConfig
from localfp4.errors import RequestError
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.kernel_choice import CARDS
from localfp4.models.kernel_kind import activation_bits, kernel_kind
from localfp4.models.opened import open_model
from localfp4_kernels.dispatch import (
    Kind,
    Phase,
    Precision,
    PrecisionError,
    Product,
    choose,
)
from localfp4_kernels.target import Target

_ROUNDINGS: Mapping[str, str] = MappingProxyType(
    {
        "fp8": "fp8",
        "w4a16": "nvfp4",
        "w4a8": "nvfp4",
        "w4a4": "nvfp4",
        "mxfp4": "mxfp4",
        "int4": "int4",
    }
)
"""What 16-bit weights are rounded to for a format."""

FORMATS = ("bf16", *_ROUNDINGS)
"""The names of formats. ``w4a16``, ``w4a8`` and ``w4a4`` are NVFP4 with activations of 16, 8 and 4
bits; ``fp8``, ``mxfp4`` and ``int4`` run with the activations that are best here."""

_NARROWER = ("w4a4", "w4a8", "w4a16")
"""What runs in place of each is the next that can."""

_ROUNDED_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"nvfp4": Kind.NVFP4, "mxfp4": Kind.MXFP4, "fp8": Kind.FP8, "int4": Kind.INT4}
)

_PROMPT_TOKENS = 1024

_NO_KERNELS = (
    "without kernels, as on a CPU, weights are expanded and activations stay at 16 bits or more"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a model is stored as.

    Attributes:
        words: As :func:`localfp4.checkpoint.describe.format_name` has it.
        rounding: What most of it is rounded to, of :data:`localfp4.config.ROUNDINGS`; empty in 16
            bits.
        products: With its quantised weights, in prefill.
        refused: Roundings that nothing of a 16-bit model fits, and why, a sentence each.
    """

    words: str
    rounding: str = ""
    products: frozenset[Product] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runs:
    """A format can be had.

    Attributes:
        config: How.
        note: What is not as the name of the format has it, a sentence; empty where all is.
    """

    config: EngineConfig
    note: str = ""


@dataclass(frozen=True, slots=True)
class Instead:
    """Another format runs in its place.

    Attributes:
        format: Which.
        reason: Why, such as ``sm_89 has no FP4 tensor cores (RTX 50 and newer have)``.
        config: How that runs.
    """

    format: str
    reason: str
    config: EngineConfig


@dataclass(frozen=True, slots=True)
class Unsupported:
    """It cannot be had, nor anything like it.

    Attributes:
        reason: A sentence.
    """

    reason: str


def stored_as(source: Source) -> Stored:
    """Read the headers of a model.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or the format of a weight, is not supported.
    """
    model = open_model(source)
    quantised = [weights for weights in inventory(model.checkpoint) if _rounding(weights.kind)]
    sizes: Counter[str] = Counter()
    for weights in quantised:
        sizes[_rounding(weights.kind)] += weights.nbytes
    words = format_name(model.checkpoint)
    if not sizes:
        stacks = tuple(dense_stacks(model.checkpoint, model.spec))
        return Stored(words, refused=refused_roundings(model.checkpoint, stacks))
    return Stored(words, sizes.most_common(1)[0][0], frozenset(map(_product, quantised)))


def entry(
    stored: Stored,
    form: str,
    config: EngineConfig,
    target: Target | None,
    triton: tuple[int, int] = (3, 7),
) -> Runs | Instead | Unsupported:
    """Say what runs a model in a format.

    Args:
        stored: What the model is stored as.
        form: Of :data:`FORMATS`, or ``auto``: as it is stored and best run here.
        config: What was asked for besides; names the model. Its own precision and rounding do not
            count.
        target: The card; ``None`` on a CPU.
        triton: Version of Triton, major and minor.

    Raises:
        RequestError: There is no such format.
    """
    if form not in ("auto", *FORMATS):
        raise RequestError(f"There is no format {form!r}; there are {', '.join(FORMATS)}.")
    if form == "auto":
        return Runs(replace(config, precision="auto", rounding=None))
    if form == "bf16":
        expanded = f"The weights are stored as {stored.words} and expanded to 16 bits."
        wide = replace(config, precision="bf16", rounding=None)
        return Runs(wide, expanded if stored.rounding else "")
    rounding = _ROUNDINGS[form]
    if stored.rounding not in ("", rounding):
        return Unsupported(already_quantised(config.model, stored.words))
    if rounding in stored.refused:
        return Unsupported(stored.refused[rounding])
    rounded = replace(config, rounding=None if stored.rounding else rounding)
    products = stored.products or frozenset({_rounded_product(rounding)})
    target = _running(config, target)
    if form not in _NARROWER:
        return Runs(replace(rounded, precision="auto"), _note(products, target, triton))
    tried = _NARROWER[_NARROWER.index(form) :]
    reasons = [_refusal(products, target, Precision(one), triton) for one in tried]
    runs = next(one for one, reason in zip(tried, reasons, strict=True) if reason is None)
    chosen = replace(rounded, precision=runs)
    if reasons[0] is not None:
        return Instead(runs, reasons[0], chosen)
    return Runs(chosen, "" if target is not None else _sentence(_NO_KERNELS))


def _running(config: EngineConfig, target: Target | None) -> Target | None:
    """Return what kernels would run on; ``None`` for plain torch."""
    if target is None and config.kernels == "triton":
        # The interpreter has every path, whatever card it stands for.
        return Target(0, multiprocessors=1, interpreted=True)
    if config.kernels == "emulated":
        return CARDS["RTX 50"]
    return None if config.kernels == "torch" else target


def _refusal(
    products: Iterable[Product],
    target: Target | None,
    precision: Precision,
    triton: tuple[int, int],
) -> str | None:
    """Return why a width of activations cannot run, or ``None`` where it can."""
    if precision is Precision.W4A16:
        return None
    if target is None:
        return _NO_KERNELS
    # Of a mix of formats the 4-bit one first, so that its reason is told.
    for product in sorted(products, key=lambda one: (one.kind, one.columns), reverse=True):
        try:
            choose(product, target, precision, triton)
        except PrecisionError as error:
            return error.reason
    return None


def _note(products: Iterable[Product], target: Target | None, triton: tuple[int, int]) -> str:
    """Say what of 8-bit weights is not multiplied in 8 bits, or that nothing is."""
    if target is None:
        return _sentence(_NO_KERNELS)
    eight_bit = [one for one in products if one.kind in (Kind.FP8, Kind.FP8_BLOCK)]
    reason = _refusal(eight_bit, target, Precision.W4A8, triton)
    return "" if reason is None else f"Prompts are multiplied with 16-bit activations: {reason}."


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _rounded_product(rounding: str) -> Product:
    return Product(_ROUNDED_KINDS[rounding], Phase.PREFILL, _PROMPT_TOKENS)


def _product(weights: Weights) -> Product:
    return Product(
        kernel_kind(weights.kind),
        Phase.PREFILL,
        _PROMPT_TOKENS,
        activation_bits(weights.kind),
        columns=weights.shape[-1],
    )


def _rounding(kind: LinearKind | Stack) -> str:
    """Return the format of a weight, of :data:`localfp4.config.ROUNDINGS`; empty in 16 bits."""
    match kind:
        case Stack():
            return "" if kind.format == "dense" else kind.format.removesuffix("-rows")
        case Dense():
            return ""
        case MXFP4():
            return "mxfp4"
        case FP8():
            return "fp8"
        case INT4():
            return "int4"
    return "nvfp4"
