"""What a model takes against what its memory plan says: ``python assets/bench/plan_vs_measured.py``.

Each case runs in a process of its own: it loads, fills its KV cache with prompts as long as the
context, and answers with a full batch. Measured is, on a CPU, the most that the process ever held
beyond what Python and torch hold without a model; on a GPU, what is no longer free of the card.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from localfp4.engine.engine import Engine

_Result = TypeVar("_Result")

CPU_CASES = (
    ("demo", 1024, 16, 16),
    ("demo", 1024, 256, 64),
    ("synthetic:qwen3-30b-a3b:1@bf16", 512, 1, 1),
    ("synthetic:qwen3-30b-a3b:1", 512, 16, 4),
)
GPU_CASES = (
    ("demo", 1024, 256, 64),
    ("synthetic:qwen3-8b", 8192, 4, 4),
    ("synthetic:gpt-oss-20b", 8192, 4, 4),
    ("synthetic:qwen3.6-27b", 8192, 2, 2),
)
"""Model, tokens of context, how many of that length the cache holds, and the batch."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and how much of it is in use.

    Attributes:
        model: As the user names it.
        device: ``cpu`` or ``cuda``.
        context: Tokens of a conversation.
        conversations: How many of that length the cache holds.
        batch: Most that run together.
        dtype: Compute type.
    """

    model: str
    device: str
    context: int
    conversations: int
    batch: int
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case came to, in bytes."""

    planned: int
    measured: int


def measure(case: Case) -> Outcome:
    """Run a case in a process of its own."""
    told = json.dumps(asdict(case))
    done = subprocess.run(
        [sys.executable, __file__, "--case", told], stdout=subprocess.PIPE, text=True, check=True
    )
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def run(case: Case) -> Outcome:
    """Run a case in this process, which must not have run another."""
    import torch

    from localfp4.config import EngineConfig
    from localfp4.engine.engine import Engine
    from localfp4.engine.load import load_model
    from localfp4.engine.phases import Phases
    from localfp4.engine.planned import plan_model

    torch.set_num_threads(1)
    config = EngineConfig(
        case.model,
        device=case.device,
        dtype=case.dtype,
        max_model_len=case.context,
        kv_cache_tokens=case.context * case.conversations,
        max_batch=case.batch,
        prefix_caching=False,
    )
    square = torch.randn(256, 256, device=case.device)  # libraries of products are loaded by now
    square @ square
    square.bfloat16() @ square.bfloat16()
    plan = _finished(plan_model(config, Phases())).plan
    before = _held(case.device)
    engine = Engine(config, _finished(load_model(config)))
    _fill(engine, case)
    return Outcome(plan.total_bytes, _held(case.device, at_most=True) - before)


def _fill(engine: "Engine", case: Case) -> None:
    from localfp4.config import SamplingParams
    from localfp4.messages import Request

    for number in range(case.conversations):
        ids = tuple((7 * place + number) % 250 for place in range(case.context - 8))
        engine.add(Request(str(number), token_ids=ids, sampling=SamplingParams(max_tokens=8)))
    while engine.has_work():
        engine.step()


def _held(device: str, *, at_most: bool = False) -> int:
    """Return what this process holds now, or the most that it held since that was asked."""
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        return total - free  # torch gives nothing back by itself
    from localfp4.telemetry.memory import process_memory, reset_peak

    if at_most:
        return process_memory().peak_bytes
    if not reset_peak(device):
        raise SystemExit("This system does not tell the most that a process held.")
    return process_memory().resident_bytes


def _finished(steps: Generator[Any, None, _Result]) -> _Result:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result


def main() -> None:
    """Print a table of cases, or run one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(asdict(run(Case(**json.loads(options.case))))))
        return
    print("| model | context | conversations | measured | planned | planned / measured |")
    print("|---|---|---|---|---|---|")
    for model, context, conversations, batch in CPU_CASES if options.device == "cpu" else GPU_CASES:
        dtype = "bfloat16" if model.startswith("synthetic") else "auto"
        found = measure(Case(model, options.device, context, conversations, batch, dtype))
        print(
            f"| {model} | {context} | {conversations} | {found.measured / 1e6:.0f} MB "
            f"| {found.planned / 1e6:.0f} MB | {found.planned / found.measured:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
