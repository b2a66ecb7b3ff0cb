"""What is known of the model, its memory and its speed, a name and a value each; no widgets."""

from localfp4.messages import Stats
from localfp4.reports import Gauges
from localfp4_tui import sampling
from localfp4_tui.formatting import (
    format_bytes,
    format_count,
    format_gib,
    format_rate,
    format_seconds,
)
from localfp4_tui.session import ChatSession

Rows = list[tuple[str, str]]


def model_rows(session: ChatSession) -> Rows:
    """Return what is known of the model."""
    info = session.info
    if info is None:
        return [("Model", session.model)]
    if info.server:
        rows = [("Model", info.name), ("Server", info.server)]
        rows += [("Context", f"{info.max_model_len} tokens")] if info.max_model_len else []
        rows.append(("Sampling", sampling.describe(session.sampling)))
        return rows + [("Note", note) for note in info.notes]
    rows = [
        ("Model", f"{info.name} ({info.family}, {format_count(info.parameters)} parameters)"),
        ("Weights", f"{info.weight_format}, {format_bytes(info.weight_bytes)}"),
        ("Kernels", info.kernel_path),
        ("Device", f"{info.device}, computing in {info.dtype}"),
        ("Context", f"{info.max_model_len} tokens"),
        ("KV cache", f"{info.kv_cache_tokens} tokens, {format_bytes(info.kv_cache_bytes)}"),
    ]
    if info.limit_tokens_per_s:
        limit = f"{format_rate(info.limit_tokens_per_s)} at most, by the memory's bandwidth"
        rows.append(("Limit", limit))
    rows.append(("Sampling", sampling.describe(session.sampling)))
    return rows + [("Note", note) for note in info.notes]


def load_rows(session: ChatSession) -> Rows:
    """Return what the time of loading went to."""
    info = session.info
    if info is None:
        return []
    phases = [(what.capitalize(), format_seconds(took_s)) for what, took_s in info.load_phases]
    return [("Loaded in", format_seconds(info.load_s)), *phases]


def memory_rows(session: ChatSession) -> Rows:
    """Return what is in use, and what the device shows."""
    rows: Rows = []
    if (gauges := session.gauges) is not None:
        rows += device_rows(gauges)
    if (stats := session.stats) is not None and stats.kv_total_tokens:
        rows.append(("KV in use", kv_in_use(stats, " tokens")))
    return rows


def device_rows(gauges: Gauges) -> Rows:
    """Return what a device shows."""
    used, total = format_gib(gauges.used_bytes), format_gib(gauges.total_bytes)
    rows: Rows = [(gauges.memory_label, f"{used} of {total} GiB")]
    if gauges.engine_bytes is not None:
        held, other = format_gib(gauges.engine_bytes), format_gib(gauges.other_bytes)
        rows.append(("of which", f"{held} GiB the engine's, {other} GiB other programs'"))
    if gauges.temperature_c is not None:
        rows.append(("Temperature", f"{gauges.temperature_c:.0f} °C"))
    if gauges.power_w is not None:
        rows.append(("Power", f"{gauges.power_w:.0f} W"))
    if gauges.slowed_by:
        rows.append(("Slowed by", ", ".join(gauges.slowed_by)))
    if gauges.busy is not None:
        rows.append(("Busy", f"{gauges.busy:.0%}"))
    return rows


def speed_rows(session: ChatSession) -> Rows:
    """Return the figures of the last answer, and of guessing since the model was loaded."""
    rows: Rows = []
    if (finished := session.finished) is not None:
        prompt = f"{finished.prompt_tokens} tokens, {finished.cached_tokens} from the cache"
        rows.append(("Last prompt", prompt))
        answer = f"{finished.output_tokens} tokens in {format_seconds(finished.duration_s)}"
        rows.append(("Last answer", answer))
        rows.append(("TTFT", format_seconds(finished.ttft_s)))
        rows.append(("Decode", rate_of_limit(session, finished.decode_tokens_per_s)))
    answer_turn = session.conversation.last("assistant")
    if answer_turn is not None and answer_turn.joules is not None:
        rows.append(("Energy", energy_of(answer_turn.joules, answer_turn.output_tokens)))
    stats = session.stats
    if stats is not None and stats.drafted_tokens:
        rows.append(("Guessed right", guesses(stats.accepted_tokens, stats.drafted_tokens)))
    return rows


def rate_of_limit(session: ChatSession, tokens_per_s: float) -> str:
    """Return a speed, and its share of what the bandwidth allows where that is known."""
    limit = session.info.limit_tokens_per_s if session.info is not None else 0.0
    share = f", {tokens_per_s / limit:.0%} of the limit" if limit else ""
    return f"{format_rate(tokens_per_s)}{share}"


def energy_of(joules: float, tokens: int) -> str:
    """Return the energy of an answer, and that of a token of it."""
    return f"{joules:.0f} J, {joules / tokens:.2g} J a token" if tokens else f"{joules:.0f} J"


def guesses(accepted: int, drafted: int) -> str:
    """Return how many guesses at tokens were right."""
    return f"{accepted} of {drafted} tokens ({accepted / drafted:.0%})"


def kv_in_use(stats: Stats, unit: str = "") -> str:
    """Return how much of the KV cache answers under way hold: none, however long the chat is."""
    idle = "" if stats.kv_used_tokens else " while idle"
    return f"{stats.kv_used_tokens} of {stats.kv_total_tokens}{unit}{idle}"


def live_rows(session: ChatSession) -> Rows:
    """Return the figures that change while an answer is written, in few words."""
    rows: Rows = []
    info, stats, finished = session.info, session.stats, session.finished
    if info is not None:
        exchange = session.exchange
        used = exchange.context_tokens if exchange else session.context_tokens
        limit = f" of {info.max_model_len}" if info.max_model_len else ""
        rows.append(("Context", f"{used}{limit}"))
    if stats is not None and stats.kv_total_tokens:
        rows.append(("KV in use", kv_in_use(stats)))
    if finished is not None:
        speed = finished.decode_tokens_per_s
        rows.append(("Decode", format_rate(speed)))
        if info is not None and info.limit_tokens_per_s:
            rows.append(("Of limit", f"{speed / info.limit_tokens_per_s:.0%}"))
        rows.append(("TTFT", format_seconds(finished.ttft_s)))
    answer = session.conversation.last("assistant")
    if answer is not None and answer.joules is not None:
        rows.append(("Energy", energy_of(answer.joules, answer.output_tokens)))
    if stats is not None and stats.drafted_tokens:
        rows.append(("Guesses", f"{stats.accepted_tokens / stats.drafted_tokens:.0%} right"))
    return rows
