"""A whole model on this machine's GPU, in several precisions and beside others, as one table.

    python kernels/bench/end_to_end.py > report.md
    python kernels/bench/end_to_end.py --model llama3.1-8b --batches 1 --skip-peers

Weights are random and need no download. Every line runs in a process of its own, so that none finds
memory that another has left in pieces. Needs the package itself on the path, not the kernels alone.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from _peers import PEERS, Peer

from localfp4.bench.device.limits import measure_limits
from localfp4.bench.device.roofline import shares
from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.ours import Ours, load
from localfp4.bench.figures import figures
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Figures
from localfp4.bench.steps.profile import profile_case
from localfp4.bench.workload import Case
from localfp4.checkpoint.synthetic.model import synthetic_checkpoint, synthetic_model
from localfp4.config import EngineConfig
from localfp4.documents.markdown import table
from localfp4.telemetry.environment import environment

OURS = ("auto", "w4a16", "bf16")
"""Precisions of this engine: as the card does it best, exact 4-bit weights, and none quantised."""

WARM_TOKENS = 16
"""Of an answer while warming up: by then everything has been run once."""

HEADINGS = (
    "what",
    "batch",
    "decode tok/s",
    "% of limit",
    "x bf16",
    "TTFT ms",
    "prefill tok/s",
    "% of peak",
    "GPU idle %",
    "load s",
    "note",
)


@dataclass
class Line:
    """A line of the table; what was not measured is ``None``."""

    what: str
    batch: int | None = None
    decode: float | None = None
    percent_of_limit: float | None = None
    ttft_ms: float | None = None
    prefill: float | None = None
    percent_of_peak: float | None = None
    idle_percent: float | None = None
    load_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    what: str
    model: str
    device: str
    batches: tuple[int, ...]
    prompt: int
    answer: int
    long_prompt: int
    repeats: int


def measured(job: Job) -> list[Line]:
    """Run a job; whatever goes wrong is its only line."""
    try:
        return peers(job) if job.what in PEERS else ours(job)
    # A library that is missing, or cannot run here, must not cost the report of the others.
    except Exception as error:  # noqa: BLE001
        lines = str(error).strip().splitlines() or [""]
        return [Line(job.what, note=f"{type(error).__name__}: {lines[0][:100]}")]


def ours(job: Job) -> list[Line]:
    cases = [Case(batch, job.prompt, job.answer) for batch in job.batches]
    prompt = Case(1, job.long_prompt, 1)
    loaded = loaded_for(job, [*cases, prompt])
    limits = loaded.limits()
    lines: list[Line] = []
    for case in cases:
        found, reason = best_of(loaded, case, job.repeats)
        line = Line(job.what, case.batch, load_s=loaded.about.load_s, note=reason)
        if found is not None:
            line.decode, line.ttft_ms = found.decode_tokens_per_s, found.ttft_ms
            reached = shares(loaded.work(case), case, found, limits)
            line.percent_of_limit = reached.decode_percent
        lines.append(line)
    lines[0].idle_percent = idle_percent(loaded, cases[0])
    found, reason = best_of(loaded, prompt, job.repeats)
    if found is None:
        lines[0].note = reason
    else:
        lines[0].prefill = found.prefill_tokens_per_s
        reached = shares(loaded.work(prompt), prompt, found, limits)
        lines[0].percent_of_peak = reached.prefill_percent
    return lines


def loaded_for(job: Job, cases: Sequence[Case]) -> Ours:
    config = EngineConfig(
        f"synthetic:{job.model}",
        device=job.device,
        precision=job.what,
        prefix_caching=False,
        speculation="off",
    )
    loading = load(config, cases)
    while True:
        try:
            next(loading)
        except StopIteration as end:
            return end.value


def best_of(loaded: Ours, case: Case, repeats: int) -> tuple[Figures | None, str]:
    """Return the figures of the fastest repeat, or why there are none."""
    short = replace(case, output_tokens=min(case.output_tokens, WARM_TOKENS))
    try:
        loaded.run(short, "warm-up")
        found = [figures(loaded.run(case, f"{case} {repeat}")) for repeat in range(repeats)]
    except CaseFailedError as error:
        return None, str(error)
    return min(found, key=lambda one: one.e2e_ms), ""


def idle_percent(loaded: Ours, case: Case) -> float | None:
    """Return the share of decode steps in which the GPU waits, between its first and last kernel."""
    try:
        found = profile_case(loaded, case, seed=0)
    except CaseFailedError:
        return None
    if found.device_busy_us is None or found.device_idle_us is None:
        return None
    return 100 * found.device_idle_us / (found.device_busy_us + found.device_idle_us)


def peers(job: Job) -> list[Line]:
    device = torch.device(job.device)
    checkpoint = synthetic_checkpoint(synthetic_model(job.model))
    peer = PEERS[job.what](checkpoint.config, device)
    lines = [Line(job.what, batch, *decode(peer, job, batch)) for batch in job.batches]
    prefill_s = min(peer.seconds(1, job.long_prompt, 1) for _ in range(job.repeats + 1))
    lines[0].prefill = job.long_prompt / prefill_s
    return lines


def decode(peer: Peer, job: Job, batch: int) -> tuple[float, None, float]:
    """Return decoded tokens a second of the batch, and milliseconds to the first token."""
    first = min(peer.seconds(batch, job.prompt, 1) for _ in range(job.repeats + 1))
    whole = min(peer.seconds(batch, job.prompt, job.answer) for _ in range(job.repeats))
    return batch * (job.answer - 1) / (whole - first), None, 1e3 * first


def in_own_process(job: Job) -> list[Line]:
    print(f"measuring {job.what}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--job", json.dumps(asdict(job))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, encoding="utf-8")
    if done.returncode != 0:
        return [Line(job.what, note=f"its process ended with code {done.returncode}")]
    return [Line(**line) for line in json.loads(done.stdout.splitlines()[-1])]


def report(model: str, device: torch.device, limits: Limits, lines: Sequence[Line]) -> str:
    here = environment(torch.get_num_threads(), gpu_name(device))
    baseline = {line.batch: line.decode for line in lines if line.what == "bf16"}
    rows = [
        [
            line.what if line.what in PEERS else f"localfp4 {line.what}",
            *map(
                number,
                (
                    line.batch,
                    line.decode,
                    line.percent_of_limit,
                    ratio(line.decode, baseline.get(line.batch)),
                    line.ttft_ms,
                    line.prefill,
                    line.percent_of_peak,
                    line.idle_percent,
                    line.load_s,
                ),
            ),
            line.note.replace("|", "\\|"),
        ]
        for line in lines
    ]
    heading = [
        f"# {model}, random weights\n",
        f"- date: {here.date}",
        f"- GPU: {here.gpu or 'none, on the CPU ' + here.cpu}, driver {here.driver or 'none'}",
        f"- localfp4 {here.localfp4}, torch {here.torch}, CUDA {torch.version.cuda}, "
        f"Triton {here.triton}, Python {here.python}, {here.os}",
        f"- measured limits: {limits.in_words()}\n",
    ]
    return "\n".join([*heading, *table(HEADINGS, rows)])


def ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value and other else None


def number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def gpu_name(device: torch.device) -> str | None:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen3-8b", help="a synthetic model, NAME[:LAYERS]")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--answer", type=int, default=128)
    parser.add_argument("--long-prompt", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precisions", nargs="*", choices=OURS, default=list(OURS))
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job is not None:
        job = json.loads(chosen.job)
        lines = measured(Job(**{**job, "batches": tuple(job["batches"])}))
        print(json.dumps([asdict(line) for line in lines]))
        return 0
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print("Benchmarks need a CUDA device, and this machine has none.", file=sys.stderr)
        return 2
    device = torch.device(chosen.device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2**33
    limits = measure_limits(device, free)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    sizes = (chosen.prompt, chosen.answer, chosen.long_prompt, chosen.repeats)
    lines = [
        line
        for what in (*chosen.precisions, *(() if chosen.skip_peers else PEERS))
        for line in in_own_process(
            Job(what, chosen.model, chosen.device, tuple(chosen.batches), *sizes)
        )
    ]
    print(report(chosen.model, device, limits, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
