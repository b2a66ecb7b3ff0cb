"""Splitting a sequence over programs, and putting the parts together (Flash-Decoding).

One new token per sequence gives a GPU too few programs, so that each attends to some of the tiles
and a second kernel merges the results, always in the same order.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.softmax import NOTHING
from localfp4_kernels.launch import Launch
from localfp4_kernels.target import Target

_CHUNK = 16
"""Splits merged at a time."""

_PAGE = 64
"""Tokens in a page."""


def decode_splits(
    batch: int, kv_heads: int, table_width: int, target: Target, window: int | None = None
) -> int:
    """Return over how many programs to split each sequence and key head.

    Two programs fit on a multiprocessor of every target, so that many fill the GPU once. The number
    depends on nothing that only the device knows; the programs share the tiles of a sequence of
    whatever length, and those that find none return at once.

    Args:
        batch: Sequences.
        kv_heads: Key heads.
        table_width: Pages of the longest sequence there can be; more splits would be empty.
        target: What runs them.
        window: Sliding window in tokens, which no more pages than its own hold.
    """
    wanted = -(-2 * target.multiprocessors // max(1, batch * kv_heads))
    if window is not None:
        table_width = min(table_width, -(-window // _PAGE) + 1)
    return max(1, min(wanted, table_width))


@triton.jit
def tiles_of_split(length, split, splits, WINDOW: tl.constexpr, BLOCK_N: tl.constexpr):
    """Return the first tile of a split, the tile after its last, and how many splits have any."""
    first = 0
    if WINDOW is not None:
        first = tl.maximum(length - WINDOW, 0) // BLOCK_N
    last = tl.cdiv(length, BLOCK_N)
    each = tl.maximum(tl.cdiv(last - first, splits), 1)
    start = first + split * each
    return start, tl.minimum(start + each, last), tl.cdiv(last - first, each)


@triton.jit(do_not_specialize=["splits"])
def _merge_kernel(
    partial_ptr,
    reference_ptr,
    total_ptr,
    length_ptr,
    out_ptr,
    splits,
    v_factor,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WINDOW: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Merge the splits of one sequence and query head."""
    sequence = tl.program_id(0)
    row = sequence * HEADS + tl.program_id(1)
    length = tl.load(length_ptr + sequence).to(tl.int32)
    # Splits without tiles have written nothing.
    _, _, used = tiles_of_split(length, 0, splits, WINDOW, BLOCK_N)
    dim = tl.arange(0, BLOCK_D)
    reference = tl.full((), NOTHING, tl.float32)
    total = tl.zeros((), tl.float32)
    acc = tl.zeros((BLOCK_D,), tl.float32)
    for start in tl.range(0, used, CHUNK):
        split = start + tl.arange(0, CHUNK)
        place = row.to(tl.int64) * splits + split
        inside = split < used
        references = tl.load(reference_ptr + place, mask=inside, other=NOTHING)
        totals = tl.load(total_ptr + place, mask=inside, other=0)
        partial = tl.load(
            partial_ptr + place[:, None] * D + dim[None, :],
            mask=inside[:, None] & (dim[None, :] < D),
            other=0,
        )
        largest = tl.maximum(reference, tl.max(references, 0))
        share = tl.exp2(references - largest)
        decay = tl.exp2(reference - largest)
        total = total * decay + tl.sum(totals * share, 0)
        acc = acc * decay + tl.sum(partial * share[:, None], 0)
        reference = largest
    mean = acc / tl.where(total > 0, total, 1.0) * v_factor
    tl.store(out_ptr + row.to(tl.int64) * D + dim, mean, mask=dim < D)


def merge_launch(
    partial: torch.Tensor,
    reference: torch.Tensor,
    total: torch.Tensor,
    seq_lens: torch.Tensor,
    out: torch.Tensor,
    v_factor: float,
    block_n: int,
    window: int | None,
) -> Launch:
    """Describe the launch that merges splits.

    Args:
        partial: float32 ``[B, Hq, splits, D]``, sums of values.
        reference: float32 ``[B, Hq, splits]``, of each softmax.
        total: As ``reference``, of the weights.
        seq_lens: ``[B]``.
        out: ``[B, Hq, D]``.
        v_factor: Multiplies the result.
        block_n: Tokens per tile.
        window: Sliding window in tokens, or ``None``.
    """
    batch, heads, splits, dim = partial.shape
    return Launch(
        _merge_kernel,
        (batch, heads),
        {
            "partial_ptr": partial,
            "reference_ptr": reference,
            "total_ptr": total,
            "length_ptr": seq_lens,
            "out_ptr": out,
            "splits": splits,
            "v_factor": v_factor,
        },
        {
            "HEADS": heads,
            "D": dim,
            "BLOCK_D": triton.next_power_of_2(dim),
            "BLOCK_N": block_n,
            "WINDOW": window,
            "CHUNK": _CHUNK,
        },
    )
