"""Looking up the rows of tokens in the embedding matrix."""

import struct

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_BLOCK = 1024


def embedding_torch(
    ids: torch.Tensor,
    table: torch.Tensor,
    *,
    scale: float = 1.0,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Look up and scale rows in plain torch; see :func:`embedding`."""
    rows = torch.nn.functional.embedding(ids, table)
    return (rows * _rounded(scale, table.dtype)).to(dtype or table.dtype)


@triton.jit
def _embedding_kernel(ids_ptr, table_ptr, out_ptr, scale, H: tl.constexpr, BLOCK: tl.constexpr):
    """Copy ``BLOCK`` columns of the row of token ``program_id(0)``."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(ids_ptr + token).to(tl.int64)
    values = tl.load(table_ptr + row * H + column, column < H)
    values = (values.to(tl.float32) * scale).to(table_ptr.dtype.element_ty)
    tl.store(out_ptr + token * H + column, values.to(out_ptr.dtype.element_ty), column < H)


def plan_embedding(
    ids: torch.Tensor,
    table: torch.Tensor,
    *,
    scale: float = 1.0,
    dtype: torch.dtype | None = None,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`embedding`."""
    check_tensor("ids", ids, ("T",), (torch.int32, torch.int64))
    check_tensor("table", table, ("V", "H"), FLOAT_TYPES, like=ids)
    width = table.shape[1]
    out = torch.empty(len(ids), width, dtype=dtype or table.dtype, device=ids.device)
    launch = Launch(
        _embedding_kernel,
        (len(ids), triton.cdiv(width, _BLOCK)),
        {
            "ids_ptr": ids,
            "table_ptr": table,
            "out_ptr": out,
            "scale": _rounded(scale, table.dtype),
        },
        {"H": width, "BLOCK": _BLOCK},
    )
    return Plan((launch,), out)


def embedding(
    ids: torch.Tensor,
    table: torch.Tensor,
    *,
    scale: float = 1.0,
    dtype: torch.dtype | None = None,
    target: Target,
) -> torch.Tensor:
    """Look up and scale the rows of tokens.

    Args:
        ids: int32 or int64 ``[T]``, all within the table.
        table: ``[V, H]``.
        scale: Multiplies rows, rounded to the type of ``table`` first as the product is after
            (Gemma multiplies by ``sqrt(H)`` this way).
        dtype: Type of the result ``[T, H]``; that of ``table`` where not given.
        target: What to run on.

    Raises:
        ValueError: A tensor does not fit.
    """
    return plan_embedding(ids, table, scale=scale, dtype=dtype, target=target).run()


def _rounded(scale: float, dtype: torch.dtype) -> float:
    """Round to a type without a tensor, which a captured graph could not have in between."""
    if dtype == torch.bfloat16:
        (bits,) = struct.unpack("<I", struct.pack("<f", scale))
        bits += 0x7FFF + (bits >> 16 & 1)
        return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))[0])
    code = "<e" if dtype == torch.float16 else "<f"
    return float(struct.unpack(code, struct.pack(code, scale))[0])
