"""The inline assembly of the kernels, read out of their source, to be emulated.

Triton packs ``pack`` elements of each argument into 32-bit registers, the first element in the
lowest bits, one argument after the other; results likewise (``inline_asm_elementwise`` in
``triton/language/core.py``).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import localfp4_kernels
from tests.ops import ptx

_PACKAGE = Path(localfp4_kernels.__file__).parent
_BYTES = {"uint8": 1, "float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class InlineAsm:
    """One call of ``tl.inline_asm_elementwise``.

    Attributes:
        name: File, function and the condition of the innermost branch it is in.
        text: Its assembly.
        constraints: Classes of the registers, results first.
        results: Types of its results.
        pack: Elements per run.
    """

    name: str
    text: str
    constraints: tuple[str, ...]
    results: tuple[str, ...]
    pack: int

    def __call__(self, *arguments: np.ndarray) -> list[np.ndarray]:
        """Run it on arrays of one length, a multiple of ``pack``; bfloat16 comes back as float32.

        Raises:
            ValueError: The constraints do not fit arguments and results, or the PTX is wrong.
        """
        counts = [_registers(_BYTES[result], self.pack) for result in self.results]
        classes = [
            "f" if result == "float32" else "r"
            for result, count in zip(self.results, counts, strict=True)
            for _ in range(count)
        ]
        inputs = []
        for argument in arguments:
            registers = _pack(argument, self.pack)
            inputs += registers
            classes += ["f" if argument.dtype == np.float32 else "r"] * len(registers)
        plain = [constraint.lstrip("=&") for constraint in self.constraints]
        outputs = [constraint.startswith("=") for constraint in self.constraints]
        if plain != classes or outputs != [place < sum(counts) for place in range(len(classes))]:
            raise ValueError(f"{self.name}: registers are {classes}, not {self.constraints}")
        results = iter(ptx.run(self.text, self.constraints, inputs))
        return [
            _unpack([next(results) for _ in range(count)], result)
            for result, count in zip(self.results, counts, strict=True)
        ]


def find_all() -> dict[str, InlineAsm]:
    """Return all inline assembly of the package by name.

    Raises:
        ValueError: Two have one name.
    """
    found = [asm for path in sorted(_PACKAGE.rglob("*.py")) for asm in _in_file(path)]
    named = {asm.name: asm for asm in found}
    if len(named) != len(found):
        raise ValueError("two pieces of assembly have one name")
    return named


def _in_file(path: Path) -> Iterator[InlineAsm]:
    file = path.relative_to(_PACKAGE).as_posix()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for condition, call in _calls(function.body, "always"):
                yield _described(f"{file} {function.name}: {condition}", call)


def _calls(body: list[ast.stmt], condition: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield calls, each with the condition of its branch."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _calls(statement.body, ast.unparse(statement.test))
            yield from _calls(statement.orelse, "else")
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                function = ast.unparse(node.func)
                if function.endswith("inline_asm_elementwise"):
                    yield condition, node


def _described(name: str, call: ast.Call) -> InlineAsm:
    text, constraints, _ = call.args
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    dtype = keywords["dtype"]
    types = dtype.elts if isinstance(dtype, ast.Tuple) else [dtype]
    return InlineAsm(
        name,
        ast.literal_eval(text),
        tuple(ast.literal_eval(constraints).split(",")),
        tuple(ast.unparse(each).removeprefix("tl.") for each in types),
        ast.literal_eval(keywords["pack"]),
    )


def _registers(size: int, pack: int) -> int:
    """Return how many registers ``pack`` elements of ``size`` bytes fill."""
    if size * pack % 4:
        raise ValueError(f"{pack} elements of {size} bytes do not fill registers")
    return size * pack // 4


def _pack(argument: np.ndarray, pack: int) -> list[ptx.Bits]:
    count = _registers(argument.itemsize, pack)
    words = np.ascontiguousarray(argument).view(np.uint32).reshape(-1, count)
    return [words[:, place].copy() for place in range(count)]


def _unpack(registers: list[ptx.Bits], result: str) -> np.ndarray:
    words = np.stack(registers, axis=1)
    if result == "bfloat16":
        return (words.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(-1)
    return words.view(result).reshape(-1)
