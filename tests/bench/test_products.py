"""Which products a decoder runs on a card, in a precision."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from localfp4.bench.device.products import Products, products_of
from localfp4.models.execution import TORCH, Execution
from localfp4.models.linear import DenseLinear
from localfp4.models.packed import InputTransform, KernelExperts, KernelLinear
from localfp4_kernels.dispatch import Kind, Precision
from localfp4_kernels.target import Target

DENSE = DenseLinear(torch.zeros(4, 4), None)


def linear(execution: Execution, kind: Kind, activations: int, columns: int = 64) -> KernelLinear:
    weight: Any = SimpleNamespace(shape=(64, columns))
    return KernelLinear(weight, kind, activations, None, InputTransform(), None, execution)


def experts(execution: Execution, kind: Kind, activations: int) -> KernelExperts:
    stack: Any = None
    sizes = (None, None, "silu", 64, kind, activations)
    return KernelExperts(stack, stack, *sizes, execution)  # type: ignore[arg-type]


def decoder(execution: Execution, *modules: object, dtype: torch.dtype = torch.bfloat16) -> Any:
    layers = tuple(DenseLinear(one, None) for one in modules)  # type: ignore[arg-type]
    return SimpleNamespace(layers=layers, execution=execution, dtype=dtype)


@pytest.mark.parametrize(
    ("capability", "precision", "kind", "activations", "prefill", "decode"),
    [
        (86, "auto", Kind.NVFP4, 4, "bfloat16", "bfloat16"),
        (89, "auto", Kind.NVFP4, 4, "fp8", "bfloat16"),
        (89, "w4a8", Kind.NVFP4, 4, "fp8", "fp8"),
        (89, "w4a16", Kind.NVFP4, 4, "bfloat16", "bfloat16"),
        (89, "auto", Kind.FP8, 16, "fp8", "bfloat16"),
        (120, "auto", Kind.NVFP4, 4, "fp4", "bfloat16"),
        (120, "auto", Kind.NVFP4, 16, "fp8", "bfloat16"),
        (120, "w4a4", Kind.NVFP4, 16, "fp4", "fp4"),
        (120, "auto", Kind.INT4, 16, "bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("make", [linear, experts])
def test_what_the_kernels_of_a_card_multiply(
    make: Any,
    capability: int,
    precision: str,
    kind: Kind,
    activations: int,
    prefill: str,
    decode: str,
) -> None:
    execution = Execution(Target(capability, multiprocessors=1), Precision(precision))
    model = decoder(execution, DENSE, make(execution, kind, activations))
    assert products_of(model) == Products(prefill, decode)


def test_the_fastest_of_several_counts() -> None:
    execution = Execution(Target(120, multiprocessors=1))
    narrow = linear(execution, Kind.NVFP4, 4)
    assert products_of(decoder(execution, narrow, linear(execution, Kind.FP8, 16))).prefill == "fp4"
    # Tensor cores take 32 columns at a time.
    odd = linear(execution, Kind.NVFP4, 4, columns=80)
    assert products_of(decoder(execution, odd, linear(execution, Kind.FP8, 16))).prefill == "fp8"


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.float32, "float32"), (torch.bfloat16, "bfloat16"), (torch.float16, "bfloat16")],
)
def test_without_stored_weights_the_compute_type_decides(dtype: torch.dtype, name: str) -> None:
    kernels = Execution(Target(120, multiprocessors=1))
    for execution in (TORCH, kernels):
        found = products_of(decoder(execution, DENSE, dtype=dtype))
        assert found == Products(name, name)
