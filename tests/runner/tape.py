"""A recorder of steps that needs no GPU: it writes down operations and repeats them.

What is repeated has the tensors of the recording and none of its Python, as in a CUDA graph: a
length, page or token that Python read while recording stays as it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from localfp4_kernels.launch import Launch

_WAITING = {
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "_unique2",
    "lift_fresh",
    "repeat_interleave",
}
"""Operators that wait for the device, or bring numbers to it from the host."""

_ALLOCATING = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class HostInTheWayError(AssertionError):
    """A recorded region did what a CUDA graph cannot repeat."""


@dataclass
class Tape(TorchDispatchMode):
    """Records, as :class:`localfp4.runner.graphs.Recorder` wants it."""

    operations: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        run()
        operations: list[Callable[[], None]] = []
        self.operations = operations
        with _launches_to(operations), self:
            run()

        def repeat() -> None:
            for operation in operations:
                operation()

        return repeat

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        if name in _WAITING or any(_is_mask(one) for one in tree_leaves(args) if name == "index"):
            raise HostInTheWayError(f"{name} cannot be repeated")
        result = func(*args, **kwargs)
        given, made = _tensors((args, kwargs)), _tensors(result)
        if len({tensor.device for tensor in (*given, *made)}) > 1:
            raise HostInTheWayError(f"{name} copies between devices")
        memories = {_memory(tensor) for tensor in given}
        if any(one.alias_info and one.alias_info.is_write for one in func._schema.arguments):
            self.operations.append(lambda: func(*args, **kwargs))
        elif name not in _ALLOCATING:
            fresh = [_memory(tensor) not in memories for tensor in made]
            if any(fresh):
                self.operations.append(lambda: _again(func, args, kwargs, made))
        return result


def _again(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], made: list[Any]) -> None:
    for before, now in zip(made, _tensors(func(*args, **kwargs)), strict=True):
        before.copy_(now)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _memory(tensor: torch.Tensor) -> int:
    if tensor.is_mkldnn:  # a weight in a layout that only its operator knows
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def _is_mask(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.bool


@contextmanager
def _launches_to(operations: list[Callable[[], None]]) -> Iterator[None]:
    run = Launch.run

    def record(launch: Launch) -> None:
        def repeat() -> None:
            with _disable_current_modes():
                run(launch)

        operations.append(repeat)
        repeat()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launch, "run", record)
        yield
