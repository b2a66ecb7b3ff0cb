"""What ``localfp4 fit`` found, as text and as JSON."""

from typing import Any

from localfp4.models.forecast import Forecast
from localfp4.models.plan import Machine
from localfp4.models.plan.memory_plan import EXPECTED_SHARE, rounded
from localfp4.text.sanitize import sanitize


def in_words(name: str, where: str, found: Forecast) -> list[str]:
    """Return the lines that tell a person.

    Args:
        name: The model, as it was named.
        where: What it was planned for.
        found: The plan.
    """
    machine = found.machine
    free = f"{_gib(machine.free_bytes)} GiB free of {_gib(machine.total_bytes)}"
    rows = [*_memory(found), "", *_use(found)]
    advice = _advice(found)
    lines = [
        f"{name} on {where}, {free}",
        *(f"  {row}" if row else "" for row in rows),
        *([""] if advice else []),
        *advice,
    ]
    return [sanitize(line).rstrip() for line in lines]


def as_object(name: str, where: str, machine: Machine, found: Forecast | str) -> dict[str, Any]:
    """Return the JSON object, of a plan or of the reason why there is none."""
    told: dict[str, Any] = {
        "model": name,
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
        "rows": [{"what": what, "bytes": size} for what, size, _ in _parts(found)],
    }


def _parts(found: Forecast) -> list[tuple[str, int, str]]:
    """Return what takes the device's memory: its name, its bytes, and a remark."""
    plan, machine = found.plan, found.machine
    kind = "" if plan.kv_dtype == plan.dtype else f" in {plan.kv_dtype}"
    parts = [
        ("weights", plan.weight_bytes, _placed(found)),
        ("staging", plan.staging_bytes, "through which weights of the main memory pass"),
        ("KV cache", plan.kv_cache_bytes, f"{plan.kv_cache_tokens} tokens{kind}"),
        ("states", plan.states_bytes, _states(found)),
        ("work", plan.workspace_bytes, "the most that a step takes"),
        ("reserve", plan.reserve_bytes, "for other programs"),
        ("left", machine.free_bytes - plan.total_bytes - plan.reserve_bytes, ""),
    ]
    return [part for part in parts if part[1] or part[0] in ("weights", "KV cache", "left")]


def _memory(found: Forecast) -> list[str]:
    rows = [f"{what:<12}{_gib(size):>5} GiB  {words}" for what, size, words in _parts(found)]
    if found.plan.host_bytes:
        rows.append(
            f"{'main memory':<12}{_gib(found.plan.host_bytes):>5} GiB  "
            f"of {_gib(found.machine.ram_bytes)} free"
        )
    return rows


def _placed(found: Forecast) -> str:
    slots, layers = found.plan.placement.expert_slots, found.plan.placement.host_layers
    words = []
    if slots is not None:
        words.append(f"{slots} of {found.sizes.expert_count} experts of every mixture")
    if layers:
        words.append(f"{len(found.sizes.layers) - layers} of {len(found.sizes.layers)} layers")
    return f"with {' and '.join(words)}; the others are in main memory" if words else ""


def _states(found: Forecast) -> str:
    plan = found.plan
    slots, copies = plan.state_slots, plan.state_snapshots
    return f"of {_counted(slots, 'sequence')}, and {_counted(copies, 'snapshot')} to go on from"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _use(found: Forecast) -> list[str]:
    plan = found.plan
    most = found.spec.max_context
    whole = "all that the model was made for" if plan.max_model_len == most else f"of {most}"
    together = "1 conversation" if plan.conversations == 1 else f"{plan.conversations} of them"
    rows = [f"{'context':<12}{plan.max_model_len} tokens, {whole}; {together} at once"]
    limit = plan.limit_tokens_per_s
    if limit is not None:
        expected = rounded(EXPECTED_SHARE * limit)
        rows.append(
            f"{'speed':<12}about {expected} tokens/s, an estimate: {EXPECTED_SHARE:.0%} of the "
            f"{rounded(limit)} that the bandwidth allows"
        )
        if plan.placement.expert_slots is not None:
            rows.append(f"{'':<12}if all experts are asked for alike; more where some are favoured")
    return rows


def _advice(found: Forecast) -> list[str]:
    plan, machine = found.plan, found.machine
    lines = []
    if not plan.placement.is_whole:
        lines.append(
            f"→ all weights would fit with {_gib(found.lacking_bytes)} GiB more on the card"
        )
        if found.config.max_model_len is not None:
            lines.append("→ a smaller --ctx leaves the card room for more of them")
    if found.unlimited is not None:
        others = machine.total_bytes - machine.free_bytes
        lines.append(
            f"→ close other programs, which hold {_gib(others)} GiB: up to "
            f"{found.unlimited} tokens of context"
        )
    return lines


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
