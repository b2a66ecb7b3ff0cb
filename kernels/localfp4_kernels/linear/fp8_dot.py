"""Products of E4M3 tiles on the tensor cores, by the instruction that is fastest on a target."""

import triton
import triton.language as tl

from localfp4_kernels.formats.e4m3 import decode_e4m3
from localfp4_kernels.target import Target


def fp8_route(target: Target) -> str:
    """Return the route of :func:`fp8_dot` on a target.

    Raises:
        ValueError: It has no 8-bit tensor cores.
    """
    if target.interpreted:
        return "values"
    if not target.has_fp8:
        raise ValueError(f"{target} has no FP8 tensor cores; the weight needs 16-bit activations")
    return "block_scaled" if target.capability == 120 else "mma"


@triton.jit
def fp8_dot(a, b, acc, ROUTE: tl.constexpr):
    """Return ``acc + a @ b`` for E4M3 bits, uint8 ``[M, K]`` and ``[K, N]``, K a multiple of 32.

    * ``mma``: the plain instruction; Triton accumulates as the hardware does (on Hopper without
      promotion, as vLLM's and cuBLAS's fast accumulation).
    * ``block_scaled``: with unit scales. GeForce Blackwell runs it at twice the rate of the plain
      instruction, whose float32 accumulation is halved there.
    * ``values``: decoded first; for the interpreter, which has no 8-bit floats to rely on.
    """
    if ROUTE == "values":
        acc = tl.dot(decode_e4m3(a, False), decode_e4m3(b, False), acc)
    else:
        a = a.to(tl.float8e4nv, bitcast=True)
        b = b.to(tl.float8e4nv, bitcast=True)
        if ROUTE == "mma":
            acc = tl.dot(a, b, acc)
        else:
            a_one = tl.full((a.shape[0], a.shape[1] // 32), 127, tl.uint8)
            b_one = tl.full((b.shape[1], b.shape[0] // 32), 127, tl.uint8)
            acc = tl.dot_scaled(a, a_one, "e4m3", b, b_one, "e4m3", acc)
    return acc
