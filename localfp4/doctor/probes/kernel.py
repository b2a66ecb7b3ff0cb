"""Compiles and runs two kernels and compares what they give; the script is run, never imported.

The first is plain Triton, so that where only the second fails, the fault is localfp4's. Its argument
is the device.
"""

import json
import sys
import time
import warnings
from typing import Any

import torch
import triton
import triton.language as tl

from localfp4.doctor.probes import MARK

_TOLERANCE = 1e-3
"""Of the result's norm; sums of 16 products round to float16, which is half of that."""


@triton.jit  # type: ignore[untyped-decorator]  # of a library without types
def _double_kernel(x_ptr, out_ptr, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write twice a vector."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + place, place < count)
    tl.store(out_ptr + place, x + x, place < count)


def main() -> None:
    """Print what became of the kernels; one that cannot be compiled ends with its traceback."""
    warnings.simplefilter("ignore")
    device = torch.device(sys.argv[1])
    start = time.perf_counter()
    wrong = ""
    if not _triton_doubles(device):
        wrong = "Triton's kernel gave wrong numbers"
    elif not _localfp4_multiplies(device):
        wrong = "Triton's kernel ran, and one of localfp4's gave wrong numbers"
    answer: dict[str, Any] = {
        "kernel": "wrong" if wrong else "ran",
        "seconds": time.perf_counter() - start,
        "error": wrong,
    }
    print(MARK + json.dumps(answer))  # noqa: T201 - read by the process that runs this


def _triton_doubles(device: torch.device) -> bool:
    x = torch.arange(1000, dtype=torch.float32, device=device)
    out = torch.empty_like(x)
    _double_kernel[triton.cdiv(1000, 256),](x, out, 1000, BLOCK=256)
    return bool(torch.equal(out.cpu(), torch.arange(0, 2000, 2, dtype=torch.float32)))


def _localfp4_multiplies(device: torch.device) -> bool:
    """Multiply a token by an NVFP4 weight, as every decoded token does."""
    from localfp4_kernels.device import target_of
    from localfp4_kernels.linear.activation import Words
    from localfp4_kernels.linear.arrange import arrange_words_torch
    from localfp4_kernels.linear.gemv import gemv, gemv_torch
    from localfp4_kernels.linear.weights import Fp4Weight

    rows, columns = 64, 256
    random = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (rows, columns // 2), dtype=torch.uint8, generator=random)
    # E4M3 bits of 0.25 to 0.94.
    scale = torch.randint(0x28, 0x38, (rows, columns // 16), dtype=torch.uint8, generator=random)
    weight = Fp4Weight(codes, scale, torch.ones(rows))
    token = torch.randn(1, columns, generator=random)
    target = target_of(device)
    words = arrange_words_torch(token, natural=target.code_route == "e2m1")
    exact = gemv_torch(words, weight, out_dtype=torch.float32)
    got = gemv(
        Words(words.data.to(device), words.scale.to(device), words.natural),
        Fp4Weight(codes.to(device), scale.to(device), torch.ones(rows, device=device)),
        target=target,
        out_dtype=torch.float32,
    )
    return bool((got.cpu() - exact).norm() <= _TOLERANCE * exact.norm())


if __name__ == "__main__":
    main()
