"""What every benchmark script shares: the command line, the card's measured limits, the report.

Must be imported before the kernels: ``--smoke`` turns on Triton's interpreter, which is decided
when kernels are decorated.
"""

import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

os.environ["TRITON_INTERPRET"] = str(int("--smoke" in sys.argv))

import torch
import triton
from _timing import Timer, bf16_tflops, copy_gb_per_s, fp8_tflops

from localfp4_kernels.cases import REFERENCE_MODELS, ModelShape
from localfp4_kernels.device import target_of

SMOKE = "--smoke" in sys.argv

TINY = ModelShape(
    hidden=256,
    intermediate=0,
    heads=4,
    kv_heads=2,
    head_dim=64,
    vocab=300,
    experts=4,
    experts_per_token=2,
    expert_intermediate=64,
    delta_k_heads=1,
    delta_v_heads=2,
    delta_head_dim=32,
    ssm_heads=2,
    ssm_head_dim=32,
    ssm_groups=1,
    ssm_state=32,
)
"""What ``--smoke`` runs: every kernel in the interpreter, to show that the scripts work."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of one operator at one shape.

    Attributes:
        microseconds: Median time.
        share: Of the limit, 1 for all of it; ``None`` where the card has no such limit.
        limit: ``copy``, ``bus``, ``bf16`` or ``fp8``: which of the measured limits.
        error: Relative to float64, or the share of rows that differ where tokens are chosen.
        beside: Microseconds of others at the same task, or why there are none.
    """

    microseconds: float
    share: float | None
    limit: str
    error: float
    beside: dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure.

    Attributes:
        op: The operator.
        shape: Its sizes, in words.
        measure: Allocates and measures, or says why the card cannot.
    """

    op: str
    shape: str
    measure: Callable[[], Result | str]


class Bench:
    """The device under test and its limits, measured when they are first asked for."""

    def __init__(self, device: torch.device, *, quick: bool) -> None:
        self.device = device
        self.target = target_of(device)
        self.quick = quick or SMOKE
        self.dtype = torch.float32 if SMOKE else torch.bfloat16
        self.timer = Timer(device, repeats=10 if quick else 50)
        self.models = {"tiny": TINY} if SMOKE else REFERENCE_MODELS

    @cached_property
    def copy(self) -> float:
        """Bandwidth in GB/s."""
        return copy_gb_per_s(self.timer, self.device, 2**10 if SMOKE else 2**30)

    @cached_property
    def bf16(self) -> float:
        """Peak in TFLOPS."""
        return bf16_tflops(self.timer, self.device, 64 if SMOKE else 8192)

    @cached_property
    def fp8(self) -> float | None:
        """Peak in TFLOPS, ``None`` on a card without FP8."""
        if not self.target.has_fp8:
            return None
        return fp8_tflops(self.timer, self.device, 8192)

    def pick(self, *choices: int) -> tuple[int, ...]:
        """Return all choices of a size, or the first where time is short."""
        return choices[:1] if self.quick else choices

    def streamed(
        self,
        run: Callable[[], object],
        read: int,
        error: float,
        beside: dict[str, float | str] | None = None,
    ) -> Result:
        """Time what is bound by the bytes it has to read."""
        spent = self.timer.microseconds(run)
        return Result(spent, read / spent / 1e3 / self.copy, "copy", error, beside or {})

    def computed(
        self,
        run: Callable[[], object],
        flops: float,
        limit: str,
        error: float,
        beside: dict[str, float | str] | None = None,
    ) -> Result:
        """Time what is bound by arithmetic at the rate of ``bf16`` or ``fp8``."""
        spent = self.timer.microseconds(run)
        peak = self.bf16 if limit == "bf16" else self.fp8
        share = flops / spent / 1e6 / peak if peak else None
        return Result(spent, share, limit, error, beside or {})

    def others(self, **runs: Callable[[], object]) -> dict[str, float | str]:
        """Time others at the same task; what cannot run here says why."""
        return {name: self._other(run) for name, run in runs.items()}

    def _other(self, run: Callable[[], object]) -> float | str:
        try:
            return self.timer.microseconds(run)
        # Whatever another library raises is the reason why it has no time.
        except Exception as error:  # noqa: BLE001
            return _brief(error)


Family = Callable[[Bench], Iterable[Case]]


def run(*families: Family) -> int:
    """Measure from the command line and print; return the exit code."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--match", nargs="+", default=[""], help="parts of operators or shapes")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not SMOKE and not torch.cuda.is_available():
        print("Benchmarks need a CUDA device, and this machine has none.", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    device = torch.device("cpu" if SMOKE else "cuda")
    try:
        bench = Bench(device, quick=arguments.quick)
    except ValueError as error:
        print(f"Benchmarks cannot run here: {error}.", file=sys.stderr)
        return 2
    with torch.inference_mode():
        rows = [
            (case, _measured(case))
            for family in families
            for case in family(bench)
            if any(part in f"{case.op} {case.shape}" for part in arguments.match)
        ]
        machine = _machine(bench)
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": [_json(*row) for row in rows]}, indent=1))
    else:
        print("\n".join(_markdown(machine, rows)))
    return 0


def _measured(case: Case) -> Result | str:
    """Measure a case, or say why it could not be."""
    print(f"{case.op} {case.shape}", file=sys.stderr, flush=True)
    try:
        return case.measure()
    # One kernel that fails must not cost the report of all others.
    except Exception as error:
        if SMOKE:
            raise
        return _brief(error)
    finally:
        # After an illegal access every call raises, and what was measured must still be printed.
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


def _machine(bench: Bench) -> dict[str, str]:
    """Return what was measured, and with what."""
    facts = {"date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")}
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        facts["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        facts["driver"] = _driver()
    return facts | {
        "target": str(bench.target),
        "multiprocessors": str(bench.target.multiprocessors),
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "Triton": triton.__version__,
        "copy": f"{bench.copy:.0f} GB/s, read and written",
        "BF16 products": f"{bench.bf16:.0f} TFLOPS",
        "FP8 products": f"{bench.fp8:.0f} TFLOPS" if bench.fp8 else "none on this card",
    }


def _driver() -> str:
    """Ask the driver's own tool for its version, which torch does not know."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown, as nvidia-smi is not on the path"
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, encoding="utf-8")
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def _json(case: Case, result: Result | str) -> dict[str, object]:
    measured = {"skipped": result} if isinstance(result, str) else asdict(result)
    return {"op": case.op, "shape": case.shape, **measured}


def _markdown(machine: dict[str, str], rows: list[tuple[Case, Result | str]]) -> Iterator[str]:
    yield "# Kernels, measured\n"
    yield from (f"- {name}: {fact}" for name, fact in machine.items())
    yield "\nMedian of CUDA graph replays with a cold L2 cache. *of* is the card's limit above.\n"
    yield "| operator | shape | μs | of | error | beside it, μs |"
    yield "|---|---|--:|--:|--:|---|"
    for case, result in rows:
        if isinstance(result, str):
            yield f"| {case.op} | {case.shape} | | | | {result} |"
            continue
        share = "" if result.share is None else f"{result.share:.0%} {result.limit}"
        beside = "; ".join(
            f"{name} {value if isinstance(value, str) else f'{value:.1f}'}"
            for name, value in result.beside.items()
        )
        time = f"{result.microseconds:.1f}"
        yield f"| {case.op} | {case.shape} | {time} | {share} | {result.error:.1e} | {beside} |"


def relative_error(got: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the distance of two tensors over the length of the exact one."""
    return float((got.double() - exact).norm() / exact.norm())
