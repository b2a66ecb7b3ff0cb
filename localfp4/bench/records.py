"""What is written down of a run: who ran, what, and what it took; torch-free, plain values only.

Everything that reports, plots and compares reads a :class:`Run`; nothing here measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from localfp4.bench.peaks import Limits
from localfp4.bench.workload import Case
from localfp4.telemetry.environment import Environment

Status = Literal["ok", "does_not_fit", "replaced", "unsupported", "missing", "failed"]
"""``does_not_fit`` the memory or the context; ``replaced`` by another series of the run, which is
what would run in its place; ``unsupported`` by the engine; ``missing``, a library or a file."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of the figures: a model in a format, run by an engine.

    Attributes:
        model: What the user called it.
        format: What was asked for, such as ``w4a16``; ``auto`` is as the engine does it best.
        engine: ``localfp4``, ``transformers``, ``llama.cpp``, ``vllm`` or ``server``.
    """

    model: str
    format: str
    engine: str = "localfp4"


@dataclass(frozen=True, slots=True)
class About:
    """What was loaded for a series; what an engine does not tell is empty or ``None``.

    Attributes:
        version: Of the engine.
        family: ``model_type`` of the checkpoint.
        parameters: How many it has.
        weight_format: What the weights are stored as.
        kernel_path: What multiplies, in words.
        device: ``cpu``, or the name of a GPU.
        dtype: Compute type.
        weight_bytes: Bytes of the weights as they lie in memory.
        kv_cache_bytes: Bytes of the KV cache.
        load_s: Seconds from the start of loading.
        vocab_size: Prompts are drawn from token ids below this.
        runs: What runs where the format that was asked for cannot, and why; empty where it can.
        revision: Which version of the model: a commit of the hub, or empty.
        notes: What a reader should know, a sentence each.
    """

    version: str
    family: str = ""
    parameters: int | None = None
    weight_format: str = ""
    kernel_path: str = ""
    device: str = "cpu"
    dtype: str = ""
    weight_bytes: int | None = None
    kv_cache_bytes: int | None = None
    load_s: float | None = None
    vocab_size: int = 0
    runs: str = ""
    revision: str = ""
    notes: tuple[str, ...] = ()


Arrivals = Mapping[str, Sequence[float]]
"""Per request: when each of its tokens came, in seconds since all requests were added."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a case brought back, before anything is worked out of it.

    Attributes:
        arrivals: When tokens came; those that came together have the same time.
        prompt_tokens: Of all requests, without those that were in the context before.
        memory_bytes: In use after the run: memory of the device that this process holds, on a CPU
            its resident memory.
        peak_memory_bytes: The most that was in use during the run, as far as the platform tells; on
            a GPU with what PyTorch keeps for later, which is about that of the largest case.
        joules: What the device drew meanwhile, with all else that ran on it.
        notes: What it brought to light that a reader of the series should know, a sentence each.
    """

    arrivals: Arrivals
    prompt_tokens: int
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    joules: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of a case took; ``None`` where answers of one token have no such figure.

    Means and percentiles of TTFT, TPOT and E2E are over the requests, those of ITL over all gaps.

    Attributes:
        ttft_ms: Time to first token, mean.
        ttft_p50_ms: Median.
        ttft_p90_ms: 90th percentile.
        ttft_p99_ms: 99th percentile.
        tpot_ms: Time per output token after the first, (E2E - TTFT) / (n - 1), mean.
        itl_p50_ms: Inter-token latency, the gaps between moments in which tokens of a request
            came: median.
        itl_p99_ms: 99th percentile.
        e2e_ms: Time from arrival to the last token, mean.
        seconds: From the arrival of all requests to the last token of the last.
        prefill_tokens_per_s: Prompt tokens of the batch over the time until every request has
            its first token.
        decode_tokens_per_s: Tokens of the batch that came after that, over the time they took.
        decode_tokens_per_s_per_user: What one request sees: 1 / TPOT.
        output_tokens_per_s: All generated tokens over the whole time, prefill included.
        total_tokens_per_s: Prompt and generated tokens over the whole time.
    """

    ttft_ms: float
    ttft_p50_ms: float
    ttft_p90_ms: float
    ttft_p99_ms: float
    tpot_ms: float | None
    itl_p50_ms: float | None
    itl_p99_ms: float | None
    e2e_ms: float
    seconds: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float | None
    decode_tokens_per_s_per_user: float | None
    output_tokens_per_s: float
    total_tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a case takes at least, from which its limits follow.

    Attributes:
        prefill_bytes: Bytes that the prompts of the batch move, every step of them.
        prefill_flops: Floating-point operations of the prompts.
        prefill_peak: Which products those are: a field of ``Limits`` without ``_tflops``.
        decode_bytes: Bytes that one decode step of the batch moves, on average over the answers.
        decode_flops: Operations of such a step.
        decode_peak: Which products those are.
        decode_shared_bytes: The part of ``decode_bytes`` that a step of fewer sequences moves, too.
    """

    prefill_bytes: int
    prefill_flops: int
    prefill_peak: str
    decode_bytes: int
    decode_flops: int
    decode_peak: str
    decode_shared_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One run of one case by one series, or why it could not be run.

    Attributes:
        series: Who.
        case: What.
        repeat: Counted from 1; 0 in the one row of a case that could not be run.
        status: What became of it.
        reason: Why not, where it is not ``ok``: a sentence.
        figures: What it took, where it is ``ok``.
        work: What it takes at least, where that is known.
        memory_bytes: As :class:`Measured` has it.
        peak_memory_bytes: As :class:`Measured` has it.
        joules: As :class:`Measured` has it.
    """

    series: Series
    case: Case
    repeat: int
    status: Status
    reason: str = ""
    figures: Figures | None = None
    work: Work | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    joules: float | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """How it was measured.

    Attributes:
        command: The command line that repeats the run.
        repeats: Measured runs that were asked for of each case.
        warmup: Runs of each case before them that were thrown away.
        seed: Decides the prompts.
        ignore_eos: Whether answers have their exact length whatever the model says.
        budget_s: Seconds after which no further round of repeats began; ``None`` does all.
        kv: Type of the KV cache that was asked for.
    """

    command: str
    repeats: int
    warmup: int
    seed: int
    ignore_eos: bool = True
    budget_s: float | None = None
    kv: str = "auto"


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that is known of a run, finished or not.

    Attributes:
        environment: Where and when it began.
        method: How.
        limits: What the device reached at best meanwhile; ``None`` where nothing ran here.
        abouts: What was loaded for each series.
        rows: In the order in which they were measured.
    """

    environment: Environment
    method: Method
    limits: Limits | None = None
    abouts: Mapping[Series, About] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
