"""Which kernel multiplies with a stored weight, and why: a pure function, free of torch.

``python -m localfp4_kernels`` prints it for this machine. A faster path that is not taken is named
with the reason; a path that was asked for and cannot run is an error, never replaced silently.

The width of the activations depends on the phase of a request and on the precision that was asked
for, not on how many requests share a step, so that an answer does not depend on its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from localfp4_kernels.target import Target


class PrecisionError(ValueError):
    """A width of activations was asked for that cannot run.

    Attributes:
        reason: Why, such as ``sm_89 has no FP4 tensor cores (RTX 50 and newer have)``.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Kind(StrEnum):
    """How a weight is stored; ``NVFP4_G32`` has its E4M3 scales per 32 elements, not per 16."""

    NVFP4 = "nvfp4"
    NVFP4_G32 = "nvfp4-g32"
    MXFP4 = "mxfp4"
    INT4 = "int4"
    FP8 = "fp8"
    FP8_BLOCK = "fp8-block"
    BF16 = "bf16"


class Phase(StrEnum):
    """What a request is doing."""

    DECODE = "decode"
    PREFILL = "prefill"


class Precision(StrEnum):
    """The width of weights and activations a user asks for."""

    AUTO = "auto"
    BF16 = "bf16"
    W4A16 = "w4a16"
    W4A8 = "w4a8"
    W4A4 = "w4a4"


class Kernel(StrEnum):
    """What runs."""

    GEMV = "gemv"
    W4A16 = "w4a16"
    W4A8 = "w4a8"
    W4A4 = "w4a4"
    FP8_GEMV = "fp8_gemv"
    W8A16 = "w8a16"
    W8A8 = "w8a8"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Product:
    """A multiplication to choose a kernel for.

    Attributes:
        kind: How the weight is stored.
        phase: What the tokens belong to.
        tokens: How many there are.
        activations: Bits per activation that the checkpoint was made for: 16, 8 or 4.
        columns: Columns of the weight; 0 where any will do.
    """

    kind: Kind
    phase: Phase
    tokens: int
    activations: int = 16
    columns: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel and why.

    Attributes:
        kernel: What runs.
        reason: Why it is right here.
        refused: Faster or narrower paths that are not taken, each with the reason.
    """

    kernel: Kernel
    reason: str
    refused: tuple[str, ...] = ()


_DENSE = Choice(Kernel.DENSE, "16-bit weights go to cuBLAS")


def choose(
    product: Product,
    target: Target,
    precision: Precision = Precision.AUTO,
    triton: tuple[int, int] = (3, 7),
) -> Choice:
    """Choose the kernel for a product.

    Args:
        product: What is multiplied.
        target: Where.
        precision: What the user asked for.
        triton: Version of Triton, major and minor.

    Raises:
        PrecisionError: The precision that was asked for cannot run on the target.
    """
    if product.kind is Kind.BF16:
        return _DENSE
    if precision is Precision.BF16:
        return Choice(Kernel.DENSE, "weights were expanded to 16 bits at load, as asked")
    if product.kind in (Kind.FP8, Kind.FP8_BLOCK):
        return _choose_fp8(product, target, precision)
    if product.kind is Kind.INT4:
        return _choose_int4(product, target, precision)
    return _choose_fp4(product, target, precision, triton)


def native_fp4_refusal(target: Target, triton: tuple[int, int] = (3, 7)) -> str | None:
    """Return why 4-bit products cannot run on tensor cores here, or ``None`` where they can."""
    if target.interpreted:
        return None
    if target.capability < 100:
        return f"{target} has no FP4 tensor cores (RTX 50 and newer have)"
    if target.capability == 121 and triton < (3, 8):
        return f"Triton {triton[0]}.{triton[1]} cannot multiply FP4 on sm_121; 3.8 can"
    return None


def _choose_fp4(
    product: Product, target: Target, precision: Precision, triton: tuple[int, int]
) -> Choice:
    native = _fp4_refusal(product) or native_fp4_refusal(target, triton)
    eight = _width_refusal(product) or _fp8_refusal(target)
    if precision is Precision.W4A4:
        _demand(native, precision, target)
        return Choice(Kernel.W4A4, "4-bit activations, as asked")
    if precision is Precision.W4A8:
        _demand(eight, precision, target)
        return Choice(Kernel.W4A8, "8-bit activations, as asked")
    if precision is Precision.W4A16:
        return Choice(_sixteen_bit(product), "16-bit activations and exact weights, as asked")
    if product.phase is Phase.DECODE:
        return Choice(
            _sixteen_bit(product),
            "decoding is bound by reading weights, so 16-bit activations cost nothing and keep "
            "the weights exact",
        )
    refused = []
    if native is None and product.activations == 4:
        return Choice(Kernel.W4A4, "FP4 tensor cores, and the checkpoint was made for them")
    if product.activations == 4 or product.kind is Kind.NVFP4_G32:
        refused.append(f"w4a4: {native}")
    elif native is None:
        refused.append(
            f"w4a4: the checkpoint was made for {product.activations}-bit activations, and 4 bits "
            "add 7 to 10% to the error of a product (--precision w4a4 takes it)"
        )
    if eight is None:
        reason = "prefill is bound by arithmetic, and FP8 tensor cores do twice that of 16 bits"
        return Choice(Kernel.W4A8, reason, tuple(refused))
    refused.append(f"w4a8: {eight}")
    return Choice(_sixteen_bit(product), "16-bit products run on every card", tuple(refused))


def _choose_int4(product: Product, target: Target, precision: Precision) -> Choice:
    narrower = (
        "integer codes have float16 scales per group, which neither FP8 nor FP4 tensor cores apply"
    )
    if precision in (Precision.W4A8, Precision.W4A4):
        _demand(narrower, precision, target)
    if precision is Precision.W4A16:
        return Choice(_sixteen_bit(product), "16-bit activations, as asked")
    if product.phase is Phase.DECODE:
        reason = "decoding is bound by reading weights, so 16-bit activations cost nothing"
        return Choice(_sixteen_bit(product), reason)
    reason = "the checkpoint was made for 16-bit activations"
    return Choice(_sixteen_bit(product), reason, (f"w4a8: {narrower}",))


def _choose_fp8(product: Product, target: Target, precision: Precision) -> Choice:
    refusal = _fp8_refusal(target)
    wide = Kernel.FP8_GEMV if product.tokens == 1 else Kernel.W8A16
    if precision in (Precision.W4A8, Precision.W4A4):
        _demand(refusal, precision, target)
        return Choice(Kernel.W8A8, "8-bit activations, as asked (8-bit weights stay as they are)")
    if precision is Precision.W4A16:
        return Choice(wide, "16-bit activations, as asked (8-bit weights stay as they are)")
    if product.phase is Phase.DECODE:
        return Choice(wide, "decoding is bound by reading weights, so activations stay at 16 bits")
    if refusal is None:
        return Choice(Kernel.W8A8, "prefill is bound by arithmetic, and weights are FP8 already")
    return Choice(wide, "8-bit weights are widened exactly", (f"w8a8: {refusal}",))


def _fp4_refusal(product: Product) -> str | None:
    if product.kind is Kind.NVFP4_G32:
        return "FP4 tensor cores take E4M3 scales of 16 elements, and these are of 32"
    return _width_refusal(product)


def _width_refusal(product: Product) -> str | None:
    if product.columns % 32:
        return f"{product.columns} columns are no multiple of 32, which tensor cores take at a time"
    return None


def _sixteen_bit(product: Product) -> Kernel:
    return Kernel.GEMV if product.tokens == 1 else Kernel.W4A16


def _fp8_refusal(target: Target) -> str | None:
    if target.capability == 121 and not target.interpreted:
        return "Triton up to 3.7 multiplies FP8 in 16 bits on sm_121, which loses and gains nothing"
    if target.has_fp8 or target.interpreted:
        return None
    return f"{target} has no FP8 tensor cores (RTX 40 and newer have)"


def _demand(refusal: str | None, precision: Precision, target: Target) -> None:
    if refusal is not None:
        raise PrecisionError(
            f"precision {precision} cannot run on {target}: {refusal}; use auto or w4a16", refusal
        )


_TABLE_WIDTHS = {Kind.NVFP4: (4, 16), Kind.NVFP4_G32: (8,), Kind.MXFP4: (4, 16)}
"""Bits per activation that checkpoints of a kind are made for; 16 alone where there is no other."""


def table(
    target: Target, precision: Precision = Precision.AUTO, triton: tuple[int, int] = (3, 7)
) -> Iterator[tuple[Product, Choice | str]]:
    """Yield what runs for every kind, phase and number of tokens, or why nothing can."""
    for kind in Kind:
        for activations in _TABLE_WIDTHS.get(kind, (16,)):
            for phase, tokens in ((Phase.DECODE, 1), (Phase.DECODE, 8), (Phase.PREFILL, 1024)):
                product = Product(kind, phase, tokens, activations)
                try:
                    yield product, choose(product, target, precision, triton)
                except PrecisionError as error:
                    yield product, str(error)
