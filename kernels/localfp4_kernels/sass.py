"""Reading compiled kernels: registers, stack, shared memory and the instructions of the hot loop.

Uses the disassemblers that come inside the Triton wheel, so that neither a GPU nor a CUDA toolkit
is needed.
"""

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton

_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(.*?);")
_LABEL = re.compile(r"^(\.L\S*):")
_BRANCH = re.compile(r"\bBRA\S*\s+.*?`?\(?(\.L[^\s)]*)")
_PREDICATE = re.compile(r"^@!?U?P\S+\s+")


@dataclass(frozen=True, slots=True)
class MachineCode:
    """What the compiler made of a kernel.

    Attributes:
        registers: Per thread.
        stack_bytes: Per thread; more than none means that registers were spilled.
        shared_bytes: Per program.
        opcodes: How often each occurs in the whole kernel.
        loop: How often each occurs in the hot loop: the innermost loop with most instructions, or
            the whole kernel where there is none.
        looped: Whether there is a loop.
    """

    registers: int
    stack_bytes: int
    shared_bytes: int
    opcodes: Counter[str]
    loop: Counter[str]
    looped: bool

    def count(self, part: str) -> int:
        """Return how many instructions of the kernel have ``part`` in their opcode."""
        return sum(times for opcode, times in self.opcodes.items() if part in opcode)

    @property
    def wide_loads(self) -> bool:
        """Whether global memory is read 128 bits at a time anywhere, also asynchronously."""
        return any(
            opcode.startswith(("LDG", "LDGSTS")) and ".128" in opcode for opcode in self.opcodes
        ) or any(opcode.startswith(("UTMALDG", "UBLKCP")) for opcode in self.opcodes)


def machine_code(compiled: Any) -> MachineCode:
    """Disassemble what :meth:`Launch.compile` returned.

    Raises:
        RuntimeError: A disassembler failed.
    """
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        listing = _run(tools / "nvdisasm", "-c", cubin)
        usage = _run(tools / "cuobjdump", "-res-usage", cubin)
    instructions, labels = _parse(listing)
    hot = _hot_loop(instructions, labels)
    return MachineCode(
        registers=_number(r"REG:(\d+)", usage),
        stack_bytes=_number(r"STACK:(\d+)", usage),
        shared_bytes=compiled.metadata.shared,
        opcodes=_opcodes(instructions),
        loop=_opcodes(hot),
        looped=hot is not instructions,
    )


def _run(tool: Path, *arguments: str | Path) -> str:
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    if done.returncode:
        raise RuntimeError(f"{tool.name} failed: {done.stderr.strip()}")
    return done.stdout + done.stderr


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"no {pattern} in the disassembler's output")
    return int(found.group(1))


def _parse(listing: str) -> tuple[list[str], dict[str, int]]:
    """Return the instructions in order, and where each label points."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    for line in listing.splitlines():
        if label := _LABEL.match(line.strip()):
            labels[label.group(1)] = len(instructions)
        elif instruction := _INSTRUCTION.match(line):
            instructions.append(_PREDICATE.sub("", instruction.group(1).strip()))
    return instructions, labels


def _hot_loop(instructions: list[str], labels: dict[str, int]) -> list[str]:
    loops = []
    for place, instruction in enumerate(instructions):
        branch = _BRANCH.search(instruction)
        start = labels.get(branch.group(1)) if branch else None
        if start is not None and start < place:
            loops.append((start, place))
    innermost = [
        (start, end)
        for start, end in loops
        if not any(
            (other, last) != (start, end) and start <= other and last <= end
            for other, last in loops
        )
    ]
    if not innermost:
        return instructions
    start, end = max(innermost, key=lambda loop: loop[1] - loop[0])
    return instructions[start : end + 1]


def _opcodes(instructions: list[str]) -> Counter[str]:
    opcodes = (instruction.split()[0] for instruction in instructions)
    return Counter(opcode for opcode in opcodes if not opcode.startswith("NOP"))
