"""What the tiled matrix kernels share: sizes of a tile, the order of programs, the epilogue.

The weight is the left operand, so a program computes ``rows x tokens`` of the transposed result:
every warp then owns rows of the weight, and decodes each of them once.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.target import Target

TOKEN_STEPS = (16, 32, 64, 128, 256)
"""Numbers of tokens that between them need every tile of a matrix."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The share of a product that one program computes.

    Attributes:
        tokens: Tokens, columns of the transposed result.
        rows: Rows of the weight.
        columns: Columns of the weight per round of the loop.
        warps: Warps per program.
        stages: Depth of the software pipeline.
    """

    tokens: int
    rows: int
    columns: int
    warps: int
    stages: int

    def grid(self, tokens: int, rows: int) -> tuple[int, ...]:
        """Return the programs for a result of a size, to be told apart by :func:`tile_place`."""
        return (triton.cdiv(tokens, self.tokens) * triton.cdiv(rows, self.rows),)

    @property
    def constants(self) -> dict[str, int]:
        """The sizes, as kernels name them."""
        return {"BM": self.tokens, "BN": self.rows, "BK": self.columns}

    @property
    def weights_per_thread(self) -> float:
        """Weights that a thread handles per round."""
        return self.rows * self.columns / (32 * self.warps)


def interpreted_rows(rows: int) -> int:
    """Return the height of tiles in the interpreter.

    A program costs milliseconds there whatever its size, so that there are few, but two wherever
    possible: tests then meet what lies between programs.
    """
    half: int = triton.next_power_of_2(triton.cdiv(rows, 2))
    return max(16, min(512, half))


def few_rows(rows: int, target: Target) -> bool:
    """Say whether tiles of 128 rows would leave multiprocessors idle with one tile of tokens."""
    return rows <= 128 * (target.multiprocessors - 1)


def check_epilogue(
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    out_dtype: torch.dtype,
    shape: tuple[int, int],
    like: torch.Tensor,
) -> None:
    """Check what is added to a product of ``shape``, and the type it is stored in.

    Raises:
        ValueError: One of them is something else than the kernels take.
    """
    if out_dtype not in FLOAT_TYPES:
        raise ValueError(f"out_dtype must be bfloat16, float16 or float32, not {out_dtype}")
    if bias is not None:
        check_tensor("bias", bias, [shape[1]], FLOAT_TYPES, like=like)
    if residual is not None:
        check_tensor("residual", residual, shape, FLOAT_TYPES, like=like)


def add_epilogue_torch(
    product: torch.Tensor,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Return a float32 product plus bias and residual, stored as ``out_dtype``."""
    if bias is not None:
        product = product + bias.float()
    if residual is not None:
        product = product + residual.float()
    return product.to(out_dtype)


@triton.jit
def tile_place(program, T, N: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Return the first row and the first token of a program.

    Programs that run together share few tiles of tokens and of rows, so that both stay in L2.
    """
    GROUP: tl.constexpr = 8
    row_tiles: tl.constexpr = (N + BN - 1) // BN
    token_tiles = (T + BM - 1) // BM
    group = program // (GROUP * row_tiles)
    in_group = program % (GROUP * row_tiles)
    width = tl.minimum(token_tiles - group * GROUP, GROUP)
    return in_group // width * BN, (group * GROUP + in_group % width) * BM


@triton.jit
def inside(first, count, SIZE: tl.constexpr):
    """Return the places of a tile relative to its first, those past the end moved to the last."""
    return tl.minimum(tl.arange(0, SIZE), count - 1 - first)


@triton.jit
def store_tile(
    y_ptr,
    bias_ptr,
    residual_ptr,
    values,
    first_row,
    first_token,
    T,
    N: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Add bias and residual to float32 ``values`` ``[BN, BM]`` and store them in ``[T, N]``."""
    row = first_row + tl.arange(0, BN)[:, None]
    token = first_token + tl.arange(0, BM)[None, :]
    wanted = (row < N) & (token < T)
    place = token.to(tl.int64) * N + row
    if bias_ptr is not None:
        values += tl.load(bias_ptr + row, mask=row < N, other=0.0).to(tl.float32)
    if residual_ptr is not None:
        values += tl.load(residual_ptr + place, mask=wanted, other=0.0).to(tl.float32)
    tl.store(y_ptr + place, values.to(y_ptr.dtype.element_ty), mask=wanted)
