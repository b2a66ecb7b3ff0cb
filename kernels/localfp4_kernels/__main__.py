"""Print which kernel runs what on this machine, and why.

python -m localfp4_kernels
python -m localfp4_kernels --cc 120 --precision w4a4
"""

import argparse
import errno
import importlib.metadata
import os
import sys
from itertools import groupby

from localfp4_kernels.dispatch import Choice, Precision, table
from localfp4_kernels.target import CAPABILITIES, Target


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m localfp4_kernels", description="Which kernel runs what, and why."
    )
    parser.add_argument(
        "--cc",
        type=int,
        choices=CAPABILITIES,
        help="compute capability times ten (89 is RTX 40, 120 is RTX 50); default: this machine's",
    )
    parser.add_argument("--precision", choices=[*Precision], default=Precision.AUTO)
    chosen = parser.parse_args(arguments)
    if chosen.cc:
        target, title = Target(chosen.cc, multiprocessors=1), f"sm_{chosen.cc}"
    else:
        try:
            target, title = _this_machine()
        except (ImportError, ValueError) as error:
            print(
                "This machine runs no kernels: weights are expanded at load and torch multiplies "
                f"them.\nThe reason: {error}.\n--cc 89 shows what an RTX 40 runs, --cc 120 an RTX 50."
            )
            return 0
    triton = _triton_version()
    head = f"{title}, Triton {triton[0]}.{triton[1]}, precision {chosen.precision}"
    try:
        print(f"{head}\n\n{_report(target, Precision(chosen.precision), triton)}", flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # the latter on Windows
            raise
        # Whoever read has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _this_machine() -> tuple[Target, str]:
    """Return the first GPU, or what the interpreter stands for.

    Raises:
        ValueError: This machine runs no kernels.
    """
    import torch

    from localfp4_kernels.device import target_of

    if not torch.cuda.is_available():
        target = target_of(torch.device("cpu"))
        return target, f"Triton's interpreter, as {target}"
    target = target_of(torch.device("cuda"))
    return target, f"{torch.cuda.get_device_name()}, {target}"


def _triton_version() -> tuple[int, int]:
    for package in ("triton", "triton-windows"):
        try:
            major, minor = importlib.metadata.version(package).split(".")[:2]
        except importlib.metadata.PackageNotFoundError:
            continue
        return int(major), int(minor)
    return 0, 0


def _report(target: Target, precision: Precision, triton: tuple[int, int]) -> str:
    """Return one line per kind of weight, and the reasons below, each once."""
    lines = [
        f"{'weights':<11}{'made for':<10}{'1 token':<16}{'2 or more':<16}{'prefill':<16}".rstrip()
    ]
    notes: list[str] = []

    def cell(choice: Choice | str) -> str:
        if isinstance(choice, Choice):
            name, why = str(choice.kernel), [choice.reason, *(f"not {r}" for r in choice.refused)]
        else:
            name, why = "refused", [choice]
        notes.extend(note for note in why if note not in notes)
        return name + " " + "".join(f"[{notes.index(note) + 1}]" for note in why)

    rows = groupby(table(target, precision, triton), lambda row: (row[0].kind, row[0].activations))
    for (kind, activations), products in rows:
        cells = "".join(f"{cell(choice):<16}" for _, choice in products)
        lines.append(f"{kind:<11}{f'{activations} bits':<10}{cells}".rstrip())
    return "\n".join([*lines, "", *(f"[{i}] {note}" for i, note in enumerate(notes, 1))])


if __name__ == "__main__":
    sys.exit(main())
