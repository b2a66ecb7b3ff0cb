"""What an exception means: memory that ran out is no broken GPU, however it is reported."""

import pytest
import torch

from localfp4.engine.faults import is_device_lost, is_out_of_memory

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the documentation.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "Triton Error [CUDA]: out of memory",
)
BROKEN = (
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle`",
    "Triton Error [CUDA]: device-side assert triggered",
)


@pytest.mark.parametrize("words", FULL)
def test_a_full_card_is_not_a_broken_one(words: str) -> None:
    for error in (RuntimeError(words), torch.AcceleratorError(words)):
        assert is_out_of_memory(error)
        assert not is_device_lost(error)


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_card_is_not_a_full_one(words: str) -> None:
    for error in (RuntimeError(words), torch.AcceleratorError(words)):
        assert is_device_lost(error)
        assert not is_out_of_memory(error)


def test_other_errors_are_neither() -> None:
    for error in (ValueError("a bug"), KeyError("CUDA"), RuntimeError("shapes do not match")):
        assert not is_out_of_memory(error)
        assert not is_device_lost(error)


def test_a_computer_without_memory_is_told_apart_too() -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")):
        assert is_out_of_memory(error)
        assert not is_device_lost(error)
