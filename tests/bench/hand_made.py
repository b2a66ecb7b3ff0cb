"""Runs made by hand, whose every figure can be worked out in the head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Figures, Method, Row, Run, Series, Work
from localfp4.bench.workload import Case
from localfp4.telemetry.environment import Environment

CPU = Environment(
    date="2026-11-21 15:04 UTC",
    localfp4="0.1.0",
    python="3.11.7",
    torch="2.13.0",
    triton=None,
    os="Linux 6.1",
    cpu="AMD EPYC",
    cores=2,
    threads=2,
    memory_bytes=2**34,
    gpu=None,
    driver=None,
    commit="5f2d5aebd059bfb3f0c12f4e5c76c03376d3668d",
)
GPU = replace(
    CPU,
    triton="3.7.1",
    gpu="NVIDIA GeForce RTX 4090",
    driver="581.29",
    cuda="12.8",
    gpu_memory_bytes=24 * 2**30,
    gpu_power_limit_w=450,
)
METHOD = Method(command="localfp4 bench demo", repeats=2, warmup=1, seed=0)
LIMITS = Limits(copy_gb_per_s=10.0, float32_tflops=0.1)
ABOUT = About(
    version="0.1.0",
    family="qwen3",
    parameters=8_000_000,
    weight_format="NVFP4 W4A16",
    kernel_path="torch",
    dtype="float32",
    weight_bytes=32 * 2**20,
    kv_cache_bytes=2**20,
    load_s=0.5,
    vocab_size=300,
)
SERIES = Series("demo", "w4a16")
CASE = Case(1, 100, 11)
WORK = Work(
    prefill_bytes=10_000_000,
    prefill_flops=10**9,
    prefill_peak="float32",
    decode_bytes=10_000_000,
    decode_flops=10**6,
    decode_peak="float32",
)
"""A step reads 10 MB, which takes a millisecond; the prompts multiply for ten."""


def figures(case: Case = CASE, ttft_ms: float = 100.0, tpot_ms: float = 10.0) -> Figures:
    """All requests get their first token at once, and then one after every TPOT."""
    e2e_ms = ttft_ms + tpot_ms * (case.output_tokens - 1)
    seconds = e2e_ms / 1e3
    tokens = case.batch * case.output_tokens
    several = case.output_tokens > 1
    return Figures(
        ttft_ms=ttft_ms,
        ttft_p50_ms=ttft_ms,
        ttft_p90_ms=ttft_ms,
        ttft_p99_ms=ttft_ms,
        tpot_ms=tpot_ms if several else None,
        itl_p50_ms=tpot_ms if several else None,
        itl_p99_ms=tpot_ms if several else None,
        e2e_ms=e2e_ms,
        seconds=seconds,
        prefill_tokens_per_s=case.batch * case.input_tokens / ttft_ms * 1e3,
        decode_tokens_per_s=case.batch / tpot_ms * 1e3 if several else None,
        decode_tokens_per_s_per_user=1e3 / tpot_ms if several else None,
        output_tokens_per_s=tokens / seconds,
        total_tokens_per_s=(tokens + case.batch * case.input_tokens) / seconds,
    )


def ok(
    repeat: int,
    ttft_ms: float = 100.0,
    tpot_ms: float = 10.0,
    case: Case = CASE,
    series: Series = SERIES,
    joules: float | None = None,
) -> Row:
    """Return a row that was measured."""
    took = figures(case, ttft_ms, tpot_ms)
    return Row(series, case, repeat, "ok", "", took, WORK, 50 * 2**20, 60 * 2**20, joules)


def timed(tpots_ms: Sequence[float], case: Case = CASE, series: Series = SERIES) -> list[Row]:
    """Return a row for each time per output token, a repeat each."""
    return [
        ok(repeat, tpot_ms=tpot, case=case, series=series)
        for repeat, tpot in enumerate(tpots_ms, 1)
    ]


def run(
    rows: Sequence[Row],
    environment: Environment = CPU,
    method: Method = METHOD,
    limits: Limits | None = LIMITS,
    abouts: Mapping[Series, About] | None = None,
) -> Run:
    """Return a run of rows; what was measured was loaded."""
    loaded = {row.series: ABOUT for row in rows if row.figures}
    return Run(environment, method, limits, loaded if abouts is None else abouts, tuple(rows))
