"""What the status line and the figures of a chat show, read off its session; no widgets."""

from localfp4_tui import sampling
from localfp4_tui.formatting import (
    format_bytes,
    format_count,
    format_gib,
    format_rate,
    format_seconds,
)
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.widgets.status_line import Phase, Status

Rows = list[tuple[str, str]]


def chat_status(session: ChatSession) -> Status:
    """Return what the status line shows now."""
    phase, detail = _phase(session)
    info, stats, exchange = session.info, session.stats, session.exchange
    on_cpu = info is None or info.device.startswith("cpu")
    return Status(
        phase=phase,
        detail=detail,
        tokens_per_s=_tokens_per_s(session),
        ttft_s=session.finished.ttft_s if session.finished else 0.0,
        context_used=exchange.context_tokens if exchange else session.context_tokens,
        context_max=info.max_model_len if info else 0,
        memory_label="RAM" if on_cpu else "VRAM",
        memory_used_bytes=stats.memory_used_bytes if stats else 0,
        memory_total_bytes=stats.memory_total_bytes if stats else 0,
        kernel_path=info.kernel_path if info else "",
    )


def model_rows(session: ChatSession) -> Rows:
    """Return what is known of the model, a name and a value each."""
    info = session.info
    if info is None:
        return [("Model", session.model)]
    return [
        ("Model", f"{info.name} ({info.family}, {format_count(info.parameters)} parameters)"),
        ("Weights", f"{info.weight_format}, {format_bytes(info.weight_bytes)}"),
        ("Kernels", info.kernel_path),
        ("Device", f"{info.device}, computing in {info.dtype}"),
        ("Context", f"{info.max_model_len} tokens"),
        ("KV cache", f"{info.kv_cache_tokens} tokens, {format_bytes(info.kv_cache_bytes)}"),
        ("Loaded in", format_seconds(info.load_s)),
        ("Sampling", sampling.describe(session.sampling)),
    ]


def speed_rows(session: ChatSession) -> Rows:
    """Return memory in use and the figures of the last answer, a name and a value each."""
    rows: Rows = []
    if (stats := session.stats) is not None:
        used, total = format_gib(stats.memory_used_bytes), format_gib(stats.memory_total_bytes)
        rows.append(("Memory", f"{used} of {total} GiB"))
        rows.append(("KV in use", f"{stats.kv_used_tokens} of {stats.kv_total_tokens} tokens"))
    if (finished := session.finished) is not None:
        prompt = f"{finished.prompt_tokens} tokens, {finished.cached_tokens} from the cache"
        rows.append(("Last prompt", prompt))
        answer = f"{finished.output_tokens} tokens in {format_seconds(finished.duration_s)}"
        rows.append(("Last answer", answer))
        rows.append(("TTFT", format_seconds(finished.ttft_s)))
        rows.append(("Decode", format_rate(finished.decode_tokens_per_s)))
    return rows


def _phase(session: ChatSession) -> tuple[Phase, str]:
    if session.state is EngineState.DOWN:
        return "stopped", ""
    if session.state is EngineState.LOADING:
        figures = session.meter.figures()
        return "loading", " · ".join(figures[:1] + figures[2:])
    exchange = session.exchange
    if exchange is None:
        return "idle", ""
    if exchange.output_tokens or exchange.text:
        return "decode", "(stopping)" if exchange.is_stopping else ""
    return "prefill", _prefill_share(session)


def _prefill_share(session: ChatSession) -> str:
    stats = session.stats
    if stats is None or stats.phase != "prefill" or not stats.prefill_total:
        return ""
    return f"{stats.prefill_done / stats.prefill_total:.0%}"


def _tokens_per_s(session: ChatSession) -> float:
    if session.exchange is None:
        return session.finished.decode_tokens_per_s if session.finished else 0.0
    stats = session.stats
    return stats.tokens_per_s if stats and stats.phase == "decode" else 0.0
