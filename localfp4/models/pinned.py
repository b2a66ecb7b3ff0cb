"""Main memory that a GPU reads as well: page-locked, and exactly as large as what it holds."""

import mmap
import weakref

import numpy as np
import torch

from localfp4.errors import ContextError

_PORTABLE, _MAPPED = 1, 2
"""Flags of ``cudaHostRegister``: for every context, and with an address on the device."""


def host_copy(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor of a GPU to page-locked main memory; others are in main memory already.

    torch's own allocator of page-locked memory rounds sizes up to powers of two, which for
    gigabytes of weights is too much: ordinary memory is allocated and locked instead.

    Raises:
        ContextError: There is not enough memory, or the system does not let so much be locked.
    """
    return locked_copy(tensor) if tensor.is_cuda else tensor


def locked_copy(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor of any device to page-locked main memory; CUDA must be there.

    Raises:
        ContextError: There is not enough memory, or the system does not let so much be locked.
    """
    copy = _locked_bytes(tensor.nbytes).view(tensor.dtype).view(tensor.shape)
    copy.copy_(tensor)
    return copy


def _locked_bytes(count: int) -> torch.Tensor:
    """Return uint8 ``[count]`` in pages of its own."""
    page = mmap.PAGESIZE
    size = -(-count // page) * page
    try:
        memory = np.empty(size + page, dtype=np.uint8)
    except MemoryError as error:
        raise _too_large(count) from error
    start = -memory.ctypes.data % page
    address = memory.ctypes.data + start
    cudart = torch.cuda.cudart()
    if int(cudart.cudaHostRegister(address, size, _PORTABLE | _MAPPED)) != 0:
        raise _too_large(count)
    # The tensor keeps the array, whose memory must be unlocked before it is freed.
    unlock = weakref.finalize(memory, cudart.cudaHostUnregister, address)
    unlock.atexit = False
    return torch.from_numpy(memory[start : start + count])


def _too_large(count: int) -> ContextError:
    return ContextError(
        f"{count / 2**30:.1f} GiB of main memory could not be locked for weights that do not fit "
        "the card; close other programs, or pick a smaller model."
    )
