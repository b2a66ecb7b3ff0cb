"""A run like the study's, worked out from the sizes of a model of 8 billion parameters."""

from dataclasses import replace
from random import Random

from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Figures, Method, Row, Run, Series, Work
from localfp4.bench.workload import Case
from localfp4.telemetry.environment import Environment

MODEL = "Qwen/Qwen3-8B"
FORMATS = ("bf16", "fp8", "w4a16", "w4a8", "w4a4", "mxfp4", "int4")
BITS = dict(zip(FORMATS, (16, 8, 4.5, 4.5, 4.5, 4.25, 4.25), strict=True))
PEAKS = {"fp8": "fp8", "w4a8": "fp8", "w4a4": "fp4"}
EFFICIENCY = dict(zip(FORMATS, (0.88, 0.85, 0.8, 0.76, 0.71, 0.78, 0.62), strict=True))

PARAMETERS, OTHERS = 6.9e9, 1.25e9
"""Of its linears, which are quantised, and of its embedding and output projection."""

KV_BYTES_PER_TOKEN = 2 * 36 * 8 * 128 * 2
CARD_BYTES = 23.2e9

ENVIRONMENT = Environment(
    date="2026-11-21 15:04 UTC",
    localfp4="0.1.0",
    python="3.12.4",
    torch="2.13.0",
    triton="3.7.1",
    os="Linux 6.8",
    cpu="AMD Ryzen 9 7950X",
    cores=16,
    threads=16,
    memory_bytes=64 * 2**30,
    gpu="NVIDIA GeForce RTX 4090",
    driver="580.95.05",
)
LIMITS = Limits(
    copy_gb_per_s=920.0,
    float32_tflops=82.0,
    bfloat16_tflops=165.0,
    fp8_tflops=330.0,
    fp4_tflops=620,
)
METHOD = Method(command="localfp4 bench Qwen/Qwen3-8B --preset study", repeats=3, warmup=2, seed=0)
BATCH_SWEEP = tuple(Case(batch, 1024, 128) for batch in (1, 2, 4, 8, 16, 32, 64))
INPUT_SWEEP = tuple(Case(16, size, 128) for size in (128, 256, 512, 1024, 2048, 4096, 8192))


def study_run(
    cases: tuple[Case, ...] = tuple(dict.fromkeys(BATCH_SWEEP + INPUT_SWEEP)),
    formats: tuple[str, ...] = FORMATS,
    repeats: int = 3,
    model: str = MODEL,
) -> Run:
    """Return a run on a card of 24 GB, in which the largest cells do not fit."""
    random = Random(7)
    series = [Series(model, name) for name in formats]
    rows = []
    for case in cases:
        for one in series:
            needed = weight_bytes(one.format) + case.kv_tokens * KV_BYTES_PER_TOKEN
            if needed > CARD_BYTES:
                reason = f"needs {needed / 2**30:.1f} GiB; {CARD_BYTES / 2**30:.1f} free"
                rows.append(Row(one, case, 0, "does_not_fit", reason))
                continue
            for repeat in range(1, repeats + 1):
                slower = 1 + abs(random.gauss(0, 0.03))
                rows.append(_row(one, case, repeat, slower, int(needed)))
    return Run(
        ENVIRONMENT,
        replace(METHOD, repeats=repeats),
        LIMITS,
        {
            one: About(
                version="0.1.0",
                family="qwen3",
                parameters=8_190_735_360,
                weight_format=one.format.upper(),
                device=ENVIRONMENT.gpu or "cpu",
                weight_bytes=weight_bytes(one.format),
            )
            for one in series
        },
        tuple(rows),
    )


def weight_bytes(name: str) -> int:
    """Return the bytes of the weights in a format."""
    return int(PARAMETERS * BITS[name] / 8 + OTHERS * 2)


def work(name: str, case: Case) -> Work:
    """Return what a case takes at least."""
    peak = PEAKS.get(name, "bfloat16")
    context = case.depth + case.input_tokens + case.output_tokens // 2
    tokens = case.batch * case.input_tokens
    attention = 4 * 36 * 32 * 128
    return Work(
        prefill_bytes=weight_bytes(name) + tokens * KV_BYTES_PER_TOKEN,
        prefill_flops=int(tokens * (2 * PARAMETERS + attention * case.input_tokens / 2)),
        prefill_peak=peak,
        decode_bytes=weight_bytes(name) + case.batch * context * KV_BYTES_PER_TOKEN,
        decode_flops=int(case.batch * (2 * (PARAMETERS + OTHERS / 2) + attention * context)),
        decode_peak=peak,
        decode_shared_bytes=weight_bytes(name),
    )


def figures(case: Case, prefill_ms: float, step_ms: float) -> Figures:
    """Return the figures of a batch whose first tokens come evenly, and then step by step."""
    steps = case.output_tokens - 1
    whole_s = (prefill_ms + steps * step_ms) / 1e3
    ttft = prefill_ms * (case.batch + 1) / (2 * case.batch)
    answers = case.batch * case.output_tokens
    return Figures(
        ttft_ms=ttft,
        ttft_p50_ms=ttft,
        ttft_p90_ms=prefill_ms * 0.9,
        ttft_p99_ms=prefill_ms * 0.99,
        tpot_ms=step_ms if steps else None,
        itl_p50_ms=step_ms if steps else None,
        itl_p99_ms=step_ms * 1.1 if steps else None,
        e2e_ms=whole_s * 1e3,
        seconds=whole_s,
        prefill_tokens_per_s=case.batch * case.input_tokens / prefill_ms * 1e3,
        decode_tokens_per_s=case.batch / step_ms * 1e3 if steps else None,
        decode_tokens_per_s_per_user=1e3 / step_ms if steps else None,
        output_tokens_per_s=answers / whole_s,
        total_tokens_per_s=(answers + case.batch * case.input_tokens) / whole_s,
    )


def _row(series: Series, case: Case, repeat: int, slower: float, memory: int) -> Row:
    takes = work(series.format, case)
    efficiency = EFFICIENCY[series.format] / slower
    copy = LIMITS.copy_gb_per_s * 1e9
    prefill_peak = (LIMITS.tflops(takes.prefill_peak) or 0) * 1e12
    prefill_s = max(takes.prefill_bytes / copy, takes.prefill_flops / prefill_peak) / (
        0.75 * efficiency
    )
    step_s = max(takes.decode_bytes / copy, takes.decode_flops / prefill_peak) / efficiency
    return Row(
        series,
        case,
        repeat,
        "ok",
        figures=figures(case, prefill_s * 1e3 + 4, step_s * 1e3 + 0.3),
        work=takes,
        memory_bytes=memory,
        peak_memory_bytes=memory + 400 * 2**20,
        joules=380 * (prefill_s + step_s * case.output_tokens),
    )
