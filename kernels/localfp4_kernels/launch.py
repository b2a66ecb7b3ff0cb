"""One kernel launch as a value: it can be run, or compiled for a GPU that is not there.

Operators first *plan*: they check their arguments, allocate the result and describe the launches.
``plan_x(...).run()`` is the operator. With tensors on the ``meta`` device the same plans need no
memory, which is how kernels are compiled ahead of time: :func:`recorded` collects what a whole
model would launch.
"""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import MockTensor

T = TypeVar("T")

_TYPE_NAMES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float8_e4m3fn: "fp8e4nv",
    torch.uint8: "u8",
    torch.int8: "i8",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.bool: "i1",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel with everything it is launched with.

    Attributes:
        kernel: A function decorated with ``triton.jit``. Its integer arguments must be listed in
            ``do_not_specialize``, so that 1 and multiples of 16 do not compile anew in the middle
            of a generation.
        grid: Programs per axis.
        arguments: Run-time arguments by name; ``None`` is a tensor that is not given. Tensors must
            start at multiples of 16 bytes. They may lie in pinned main memory: Triton asks the
            driver for the address at which the device reads it.
        constants: ``tl.constexpr`` arguments by name.
        num_warps: Warps per program.
        num_stages: Depth of the software pipeline.
    """

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, torch.Tensor | int | float | None]
    constants: Mapping[str, Any]
    num_warps: int = 4
    num_stages: int = 1

    def run(self) -> None:
        """Launch on the current device; nothing happens where there is no work."""
        if (record := _record.get()) is not None:
            record.append(self)
        elif 0 not in self.grid:
            self.kernel[self.grid](**self.arguments, **self._settings())

    def warm_up(self) -> None:
        """Compile for the current device and load, without running."""
        stand_ins = {
            name: MockTensor(value.dtype) if isinstance(value, torch.Tensor) else value
            for name, value in self.arguments.items()
        }
        compiled = self.kernel.warmup(grid=self.grid, **stand_ins, **self._settings())
        # Reading the launcher loads the machine code; Triton would do it at the first launch.
        _ = compiled.run

    def compile(self, capability: int) -> Any:
        """Compile for a compute capability (times ten); needs no GPU.

        Not in a process that interprets kernels: Triton decides which it is when it decorates.

        Raises:
            ValueError: An integer argument is not listed in ``do_not_specialize``.
        """
        signature: dict[str, str] = {}
        constants = dict(self.constants)
        attributes: dict[tuple[int, ...], list[list[Any]]] = {}
        for index, name in enumerate(self.kernel.arg_names):
            value = self.arguments.get(name)
            if value is None:
                signature[name] = "constexpr"
                constants.setdefault(name, None)
            elif isinstance(value, torch.Tensor):
                signature[name] = f"*{_TYPE_NAMES[value.dtype]}"
                attributes[index,] = [["tt.divisibility", 16]]
            elif isinstance(value, float):
                signature[name] = "fp32"
            elif name in self.kernel.do_not_specialize:
                signature[name] = "i32"
            else:
                raise ValueError(f"{name} of {self.kernel.fn.__name__} would specialise")
        source = ASTSource(self.kernel, signature, constexprs=constants, attrs=attributes)
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages}
        return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)

    @property
    def specialisation(self) -> Hashable:
        """What the machine code depends on: launches that agree in it share a compilation."""
        types = tuple(
            (name, value.dtype if isinstance(value, torch.Tensor) else type(value))
            for name, value in self.arguments.items()
        )
        constants = tuple(sorted(self.constants.items()))
        return self.kernel.fn.__qualname__, types, constants, self.num_warps, self.num_stages

    def _settings(self) -> dict[str, Any]:
        return {
            **self.constants,
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
        }


_record: ContextVar[list[Launch] | None] = ContextVar("record", default=None)


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Collect the launches of a block instead of running them; their results are not computed."""
    launches: list[Launch] = []
    token = _record.set(launches)
    try:
        yield launches
    finally:
        _record.reset(token)


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """Launches that together compute a result.

    Attributes:
        launches: In order.
        out: Where the result will be once they have run.
    """

    launches: tuple[Launch, ...]
    out: T

    def run(self) -> T:
        """Launch everything and return the result."""
        for launch in self.launches:
            launch.run()
        return self.out
