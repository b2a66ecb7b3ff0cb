"""What the two lines of the status show, read off its session; no widgets."""

from localfp4_tui.load_meter import LoadMeter
from localfp4_tui.memory_split import memory_split
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.widgets.device_line import DeviceStatus
from localfp4_tui.widgets.status_line import Phase, Status

SPARKS = 8
"""Seconds of writing that the status shows the speed of."""


def chat_status(session: ChatSession) -> Status:
    """Return what the upper line of the status shows now."""
    phase, details = _phase(session)
    if phase == "loading":
        return Status(phase, details)
    info, exchange, finished = session.info, session.exchange, session.finished
    return Status(
        phase=phase,
        details=details,
        tokens_per_s=_tokens_per_s(session),
        limit_tokens_per_s=info.limit_tokens_per_s if info else 0.0,
        speeds=tuple(session.telemetry.track.speeds(SPARKS)),
        ttft_s=finished.ttft_s if finished else 0.0,
        context_used=exchange.context_tokens if exchange else session.context_tokens,
        context_max=info.max_model_len if info else 0,
        kernel_path=info.kernel_path if info else "",
    )


def device_status(session: ChatSession) -> DeviceStatus:
    """Return what the lower line of the status shows now."""
    gauges = session.gauges
    info = session.info if session.state is EngineState.READY else None
    if gauges is None:
        return DeviceStatus(server=info.server if info is not None else "")
    answer = session.conversation.last("assistant")
    return DeviceStatus(
        memory_label=gauges.memory_label,
        memory=tuple(memory_split(gauges, info)),
        temperature_c=gauges.temperature_c,
        power_w=gauges.power_w,
        busy=gauges.busy,
        answer_j=None if answer is None else answer.joules,
        is_alarming=session.telemetry.alarm is not None,
    )


def _phase(session: ChatSession) -> tuple[Phase, tuple[str, ...]]:
    if session.state is EngineState.DOWN:
        return "stopped", ()
    if session.state is EngineState.LOADING:
        return "loading", _loading(session.meter)
    exchange = session.exchange
    if exchange is None:
        return "idle", ()
    if exchange.output_tokens or exchange.text:
        return "decode", ("(stopping)",) if exchange.is_stopping else ()
    return "prefill", _prefill_share(session)


def _loading(meter: LoadMeter) -> tuple[str, ...]:
    """Return the share, speed and time left of a stage, or its words where it has no bytes."""
    if meter.share is None:
        return (meter.progress.stage,)
    figures = meter.figures()
    return (*figures[:1], *figures[2:])


def _prefill_share(session: ChatSession) -> tuple[str, ...]:
    stats = session.stats
    if stats is None or stats.phase != "prefill" or not stats.prefill_total:
        return ()
    return (f"{stats.prefill_done / stats.prefill_total:.0%}",)


def _tokens_per_s(session: ChatSession) -> float:
    if session.exchange is None:
        return session.finished.decode_tokens_per_s if session.finished else 0.0
    stats = session.stats
    return stats.tokens_per_s if stats and stats.phase == "decode" else 0.0
