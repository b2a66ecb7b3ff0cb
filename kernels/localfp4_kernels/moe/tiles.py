"""Sizes of the tiles of products with chosen experts."""

from localfp4_kernels.dispatch import Kernel
from localfp4_kernels.linear.tiles import Tile
from localfp4_kernels.target import Target

_SIZES = {Kernel.W4A16: (8, 16, 32, 64), Kernel.W4A4: (32, 64, 128)}
_USUAL_SIZES = (16, 32, 64)
"""More than 64 tokens and the addresses of their rows do not fit into registers, except beside
weights that need none to be decoded."""


def block_sizes(kernel: Kernel) -> tuple[int, ...]:
    """Return how many slots of one expert a program of a kernel can take."""
    return _SIZES.get(kernel, _USUAL_SIZES)


def block_rows(kernel: Kernel, slots: int, experts: int) -> int:
    """Return how many slots of one expert a program should take.

    The last block of each expert is half empty on average, so blocks hold at most half of what an
    expert gets when all get the same.
    """
    smallest, *larger = block_sizes(kernel)
    return max((size for size in larger if size <= slots // (2 * experts)), default=smallest)


def grouped_tile(kernel: Kernel, rows: int, target: Target) -> Tile:
    """Return the tile for blocks of some rows.

    Raises:
        ValueError: There is none.
    """
    sizes = block_sizes(kernel)
    if rows not in sizes:
        raise ValueError(f"slots must be in blocks of {sizes} for {kernel}, not {rows}")
    if target.interpreted:
        return Tile(tokens=rows, rows=32, columns=64, warps=4, stages=1)
    if kernel is Kernel.W4A16:
        return _w4a16_tile(rows, target)
    if kernel is Kernel.W4A8 or kernel is Kernel.W8A8:
        return Tile(rows, rows=128, columns=128, warps=4, stages=3 if rows == 64 else 4)
    if kernel is Kernel.W4A4:
        return _w4a4_tile(rows)
    columns = 128 if kernel is Kernel.W8A16 else 64
    return Tile(rows, rows=64, columns=columns, warps=4, stages=3 if rows == 64 else 4)


def _w4a16_tile(rows: int, target: Target) -> Tile:
    if rows == 64:
        return Tile(rows, rows=64, columns=128, warps=4, stages=3)
    if target.capability == 90:
        # Two warps cannot form the warp group of a wgmma, which takes decoded weights less well.
        return Tile(rows, rows=32, columns=256, warps=2, stages=4)
    return Tile(rows, rows=64, columns=256, warps=4, stages=3)


def _w4a4_tile(rows: int) -> Tile:
    if rows == 128:
        return Tile(rows, rows=128, columns=256, warps=8, stages=2)
    if rows == 64:
        # Rounds of 256 columns spill registers.
        return Tile(rows, rows=128, columns=128, warps=4, stages=4)
    return Tile(rows, rows=128, columns=256, warps=4, stages=3)
