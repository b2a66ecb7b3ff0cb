"""Compile the kernels of reference models for GPUs that are not there, and read the machine code.

    python kernels/bench/sass.py --cc 89 90 120 --models qwen3-8b
    python kernels/bench/sass.py --match gemv --cc 89

Prints a Markdown table (or JSON), and ends with code 1 if a kernel misses its gate.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # read when the kernels are decorated

from localfp4_kernels.cases import REFERENCE_MODELS, Case, Gate
from localfp4_kernels.catalogue import model_cases
from localfp4_kernels.sass import MachineCode, machine_code
from localfp4_kernels.target import CAPABILITIES, Target

MULTIPROCESSORS = {80: 108, 86: 82, 89: 128, 90: 132, 100: 148, 120: 170, 121: 48}
"""Of an A100, 3090, 4090, H200, B200, 5090 and DGX Spark."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cc", type=int, nargs="+", default=[89, 90, 120], choices=CAPABILITIES)
    parser.add_argument(
        "--models", nargs="+", default=[*REFERENCE_MODELS], choices=REFERENCE_MODELS
    )
    parser.add_argument("--match", nargs="+", default=[""], help="parts of case names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work = [
        (target, case)
        for capability in arguments.cc
        for target in [Target(capability, MULTIPROCESSORS[capability])]
        for case in _cases(arguments.models, target)
        if any(part in case.name for part in arguments.match)
    ]
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
