"""Unexpected exceptions of an engine, in words for the user; torch-free.

Knows how the errors look, not what to do about them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localfp4.errors import UserError

if TYPE_CHECKING:
    from localfp4.models.plan import MemoryPlan


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory ran out, on the CPU or on a GPU, without importing torch.

    torch reports a full GPU as ``torch.OutOfMemoryError``, or in CUDA's words where something else
    than its allocator asked, such as for page-locked memory; and a full CPU as a ``RuntimeError``
    of its allocator. None of them is a ``MemoryError``.
    """
    if isinstance(error, MemoryError):
        return True
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    text = str(error)
    reports = (
        "CUDA out of memory",
        "CUDA error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "[CUDA]: out of memory",  # Triton's, when it loads a kernel
        "DefaultCPUAllocator: can't allocate memory",
    )
    return any(report in text for report in reports)


def is_device_lost(error: BaseException) -> bool:
    """Say whether the GPU or its driver failed, after which a process cannot use it any more."""
    if is_out_of_memory(error):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    return "AcceleratorError" in names or any(
        sign in text for sign in ("CUDA error", "CUDA driver error", "cudaError", "[CUDA]: ")
    )


@contextmanager
def out_of_memory_as(sentence: str) -> Iterator[None]:
    """Tell the user ``sentence`` where memory runs out; other errors pass.

    Raises:
        UserError: Memory ran out.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(sentence) from error
        raise


def no_room_to_load(model: str) -> str:
    """Say that a model does not fit."""
    return f"There is not enough memory to load {model}; choose a smaller model or a smaller --ctx."


def ran_out_while_loading(model: str, plan: "MemoryPlan") -> str:
    """Say that there was less memory than a plan counted on."""
    return (
        f"Memory ran out while loading {model}: {plan.total_bytes / 2**30:.1f} GiB were planned "
        f"({plan.weight_bytes / 2**30:.1f} of weights, {plan.kv_cache_bytes / 2**30:.1f} of KV "
        f"cache for {plan.kv_cache_tokens} tokens), and other programs have taken memory since. "
        "Use a smaller --ctx, or close them."
    )


def no_room_to_answer(device: str) -> str:
    """Say that an answer does not fit beside the model."""
    return (
        f"Memory ran out on {device} while answering; "
        "start again with a smaller --ctx or ask for less at once."
    )


def device_lost(error: BaseException) -> str:
    """Say that the GPU has to be started anew."""
    return (
        f"The GPU stopped working for this program ({first_line(error)}): its driver was reset, or "
        "the card ran into a fault. A restart loads the model again; if it comes back, restart the "
        "computer and update the driver."
    )


def first_line(error: BaseException) -> str:
    """Name an exception and quote the first line of its message, at most 200 characters."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0][:200]}" if lines else name
