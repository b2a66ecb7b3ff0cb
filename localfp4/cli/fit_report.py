"""What ``localfp4 fit`` found, as text and as JSON."""

from typing import Any

from localfp4.checkpoint.hub import Source
from localfp4.cli.looking import download_bytes, download_in_words
from localfp4.models.forecast import Forecast
from localfp4.models.forecast_words import advice_on, memory_rows
from localfp4.models.plan import Machine
from localfp4.models.plan.memory_plan import EXPECTED_SHARE, rounded
from localfp4.text.sanitize import sanitize


def in_words(name: str, where: str, source: Source, found: Forecast) -> list[str]:
    """Return the lines that tell a person.

    Args:
        name: The model, as it was named.
        where: What it was planned for.
        source: Where the model is.
        found: The plan.
    """
    machine = found.machine
    free = f"{_gib(machine.free_bytes)} GiB free of {_gib(machine.total_bytes)}"
    rows = [*_memory(found), "", *_use(found)]
    if missing := download_in_words(source):
        rows.append(f"{'files':<12}{missing}")
    advice = [f"→ {line}" for line in advice_on(found)]
    lines = [
        f"{name} on {where}, {free}",
        *(f"  {row}" if row else "" for row in rows),
        *([""] if advice else []),
        *advice,
    ]
    return [sanitize(line).rstrip() for line in lines]


def as_object(
    name: str, where: str, machine: Machine, source: Source, found: Forecast | str
) -> dict[str, Any]:
    """Return the JSON object, of a plan or of the reason why there is none."""
    told: dict[str, Any] = {
        "model": name,
        "download_bytes": download_bytes(source),
        "device": {
            "name": where,
            "kind": machine.device,
            "free_bytes": machine.free_bytes,
            "total_bytes": machine.total_bytes,
            "bandwidth_bytes_per_s": machine.bandwidth,
            "link_bytes_per_s": machine.link,
        },
        "fits": not isinstance(found, str),
    }
    if isinstance(found, str):
        return told | {"reason": found, "rows": []}
    plan = found.plan
    return told | {
        "dtype": plan.dtype,
        "kv_dtype": plan.kv_dtype,
        "context_tokens": plan.max_model_len,
        "model_context_tokens": found.spec.max_context,
        "conversations": plan.conversations,
        "kv_cache_tokens": plan.kv_cache_tokens,
        "kv_bytes_per_token": plan.kv_bytes_per_token,
        "group_pages": list(plan.group_pages),
        "placement": {
            "experts": found.sizes.expert_count,
            "experts_on_card": plan.placement.expert_slots,
            "layers": len(found.sizes.layers),
            "layers_in_main_memory": plan.placement.host_layers,
            "main_memory_bytes": plan.host_bytes,
        },
        "limit_tokens_per_s": plan.limit_tokens_per_s,
        "expected_tokens_per_s": plan.expected_tokens_per_s,
        "advice": advice_on(found),
        "rows": [{"what": row.what, "bytes": row.size_bytes} for row in memory_rows(found)],
    }


def _memory(found: Forecast) -> list[str]:
    rows = [
        f"{row.what:<12}{_gib(row.size_bytes):>5} GiB  {row.remark}" for row in memory_rows(found)
    ]
    if found.plan.host_bytes:
        rows.append(
            f"{'main memory':<12}{_gib(found.plan.host_bytes):>5} GiB  "
            f"of {_gib(found.machine.ram_bytes)} free"
        )
    return rows


def _use(found: Forecast) -> list[str]:
    plan = found.plan
    most = found.spec.max_context
    whole = "all that the model was made for" if plan.max_model_len == most else f"of {most}"
    together = "1 conversation" if plan.conversations == 1 else f"{plan.conversations} of them"
    rows = [f"{'context':<12}{plan.max_model_len} tokens, {whole}; {together} at once"]
    expected, limit = plan.expected_tokens_per_s, plan.limit_tokens_per_s
    if expected is not None and limit is not None:
        rows.append(
            f"{'speed':<12}about {rounded(expected)} tokens/s, an estimate: {EXPECTED_SHARE:.0%} "
            f"of the {rounded(limit)} that the bandwidth allows"
        )
        if plan.placement.expert_slots is not None:
            rows.append(f"{'':<12}if all experts are asked for alike; more where some are favoured")
    return rows


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
