"""Compile the kernels of reference models for GPUs that are not there, and read the machine code.

    python kernels/bench/sass.py --cc 89 90 120 --models qwen3-8b
    python kernels/bench/sass.py --match gemv --cc 89
    python kernels/bench/sass.py --extremes

Prints a Markdown table (or JSON), and ends with code 1 if a kernel misses its gate.
"""

import argparse
import json
import os
import sys
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # read when the kernels are decorated

from localfp4_kernels.cases import REFERENCE_MODELS, Case, Gate
from localfp4_kernels.catalogue import model_cases
from localfp4_kernels.sass import MachineCode, machine_code
from localfp4_kernels.target import CAPABILITIES, Target

MULTIPROCESSORS = {80: 108, 86: 82, 89: 128, 90: 132, 100: 148, 120: 170, 121: 48}
"""Of an A100, 3090, 4090, H200, B200, 5090 and DGX Spark."""

SIZES = frozenset(
    [
        "N",
        "K",
        "V",
        "BLOCK",
        "BLOCKS",
        "PER_SPLIT",
        "SPAN",
        "ROW",
        "CHANNELS",
        "X_STRIDE",
        "Q_STRIDE",
        "GATE_STRIDE",
        "GATE_TOKEN_STRIDE",
        "GATE_HEAD_STRIDE",
    ]
)
"""Constants that are sizes of a model or follow from them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", type=int, nargs="+", default=[89, 90, 120], choices=CAPABILITIES)
    parser.add_argument(
        "--models", nargs="+", default=[*REFERENCE_MODELS], choices=REFERENCE_MODELS
    )
    parser.add_argument("--match", nargs="+", default=[""], help="parts of case names")
    parser.add_argument(
        "--extremes",
        action="store_true",
        help="of launches that differ only in the sizes of the model, the smallest and the largest",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work = []
    for capability in arguments.cc:
        target = Target(capability, MULTIPROCESSORS[capability])
        cases = [
            case
            for case in _cases(arguments.models, target)
            if any(part in case.name for part in arguments.match)
        ]
        work += [(target, case) for case in (_extremes(cases) if arguments.extremes else cases)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        rows = list(pool.map(lambda item: _row(*item), work))
    print(json.dumps({"rows": rows}, indent=1) if arguments.json else _table(rows))
    return int(any(row["failures"] for row in rows))


def _cases(models: list[str], target: Target) -> Iterator[Case]:
    """Yield every case once, whichever models need it."""
    seen = set()
    for model in models:
        for case in model_cases(REFERENCE_MODELS[model], target):
            if case.name not in seen:
                seen.add(case.name)
                yield case


def _extremes(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield the smallest and the largest of the cases that differ in sizes alone."""
    alike: dict[Hashable, list[Case]] = {}
    for case in cases:
        alike.setdefault(_kind(case), []).append(case)
    for same in alike.values():
        yield from {
            case.name: case for case in (min(same, key=_size), max(same, key=_size))
        }.values()


def _kind(case: Case) -> Hashable:
    """Return what a case has in common with those that differ from it in sizes alone.

    Whether blocks cover a matrix without a remainder is no size: without one there are no masks.
    """
    constants = case.launch.constants
    rest = {name: repr(value) for name, value in constants.items() if not _is_size(name, value)}
    whole = (
        constants.get("N", 0) % constants.get("BN", constants.get("BLOCK_N", 1)) == 0,
        constants.get("K", 0) % constants.get("BK", constants.get("BLOCK_K", 1)) == 0,
    )
    dtypes = [repr(getattr(value, "dtype", None)) for value in case.launch.arguments.values()]
    return case.launch.kernel, case.gate, whole, *rest.items(), *dtypes


def _size(case: Case) -> int:
    """Return the product of a case's sizes."""
    constants = case.launch.constants.items()
    return prod(value for name, value in constants if _is_size(name, value))


def _is_size(name: str, value: object) -> bool:
    return name in SIZES and type(value) is int


def _row(target: Target, case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"kernel": case.name, "capability": target.capability}
    try:
        code = machine_code(case.launch.compile(target.capability))
    # Whatever the compiler raises is a result here, shown beside the others.
    except Exception as error:  # noqa: BLE001
        return row | {"failures": [f"{type(error).__name__}: {str(error)[:300]}"]}
    loop = sum(code.loop.values())
    per_weight = loop / case.weights if case.weights else None
    return row | {
        "registers": code.registers,
        "stack_bytes": code.stack_bytes,
        "shared_bytes": code.shared_bytes,
        "loop_instructions": loop,
        "per_weight": None if per_weight is None else round(per_weight, 2),
        "looped": code.looped,
        "mma": sorted({o.split(".")[0] for o in code.opcodes if "MMA" in o.split(".")[0]}),
        "wide_loads": code.wide_loads,
        "failures": list(_failures(case.gate, code, per_weight, target)),
    }


def _failures(
    gate: Gate, code: MachineCode, per_weight: float | None, target: Target
) -> Iterator[str]:
    if code.stack_bytes:
        yield f"{code.stack_bytes} bytes of stack"
    if code.shared_bytes > target.shared_bytes:
        yield f"{code.shared_bytes} bytes of shared memory, limit {target.shared_bytes}"
    if code.registers > gate.registers:
        yield f"{code.registers} registers, limit {gate.registers}"
    if gate.instruction and not code.count(gate.instruction):
        yield f"no {gate.instruction}"
    if gate.wide_loads and not code.wide_loads:
        yield "no 128-bit loads"
    if gate.per_weight and per_weight and per_weight > gate.per_weight:
        yield f"{per_weight:.2f} instructions per weight, limit {gate.per_weight}"


def _table(rows: list[dict[str, Any]]) -> str:
    """Return one line per kernel and one column per target, then what missed its gate."""
    capabilities = sorted({row["capability"] for row in rows})
    cells: dict[str, dict[int, str]] = {}
    for row in rows:
        cells.setdefault(row["kernel"], {})[row["capability"]] = _cell(row)
    lines = [
        "registers / shared memory in KiB / instructions of the hot loop per weight, MMA",
        "",
        "| kernel | " + " | ".join(f"sm_{capability}" for capability in capabilities) + " |",
        "|---|" + "---|" * len(capabilities),
    ]
    for kernel, by_target in cells.items():
        columns = " | ".join(by_target.get(capability, "") for capability in capabilities)
        lines.append(f"| {kernel} | {columns} |")
    missed = [
        f"{row['kernel']} on sm_{row['capability']}: {failure}"
        for row in rows
        for failure in row["failures"]
    ]
    return "\n".join([*lines, *(["", "Missed:", *missed] if missed else [])])


def _cell(row: dict[str, Any]) -> str:
    if "registers" not in row:
        return "fails"
    parts = [str(row["registers"]), f"{row['shared_bytes'] / 1024:.0f}"]
    if row["per_weight"] is not None:
        # Without a loop, all instructions are divided by the weights of one round.
        parts.append(f"{row['per_weight']:.2f}" if row["looped"] else "unrolled")
    return " / ".join(parts) + (f" {row['mma'][0]}" if row["mma"] else "")


if __name__ == "__main__":
    sys.exit(main())
