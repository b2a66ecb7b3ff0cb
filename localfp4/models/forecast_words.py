"""What a forecast comes to in words: what takes the memory, and what would help; torch-free."""

from localfp4.models.forecast import Forecast
from localfp4.models.smaller import smaller_model
from localfp4.reports import FitRow


def memory_rows(found: Forecast) -> list[FitRow]:
    """Return what takes the device's memory, and what is left of what is free."""
    plan, machine = found.plan, found.machine
    kind = "" if plan.kv_dtype == plan.dtype else f" in {plan.kv_dtype}"
    rows = [
        FitRow("weights", plan.weight_bytes, _placed(found)),
        FitRow("staging", plan.staging_bytes, "through which weights of the main memory pass"),
        FitRow("KV cache", plan.kv_cache_bytes, f"{plan.kv_cache_tokens} tokens{kind}"),
        FitRow("states", plan.states_bytes, _states(found)),
        FitRow("work", plan.workspace_bytes, "the most that a step takes"),
        FitRow(
            "loading",
            max(plan.loading_bytes - plan.running_bytes, 0),
            "for a while, before there is a cache",
        ),
        FitRow("reserve", plan.reserve_bytes, "for other programs"),
        FitRow("left", machine.free_bytes - plan.total_bytes - plan.reserve_bytes),
    ]
    return [row for row in rows if row.size_bytes or row.what in ("weights", "KV cache", "left")]


def advice_on(found: Forecast) -> list[str]:
    """Return what would help, a sentence each."""
    plan, machine = found.plan, found.machine
    lines = [machine.choice] if machine.choice else []
    if not plan.placement.is_whole:
        lines.append(f"all weights would fit with {_gib(found.lacking_bytes)} GiB more on the card")
        lines += _smaller(found)
        if found.config.max_model_len is not None:
            narrow = ", or --kv fp8," if found.can_narrow else ""
            lines.append(f"a shorter context{narrow} leaves the card room for more of them")
    lines += [
        f"{option}: up to {tokens} tokens of context" for option, tokens in found.longer.items()
    ]
    if found.unlimited is not None:
        held = f"{_gib(machine.others_bytes)} GiB"
        who = f"{machine.others_in_words}: other programs hold {held}, without them"
        lines.append(
            f"close {who if machine.others else f'other programs, which hold {held}:'} up to "
            f"{found.unlimited} tokens of context"
        )
    return lines


def _smaller(found: Forecast) -> list[str]:
    """Tell of a smaller model of the family whose weights the card would hold whole."""
    plan = found.plan
    room = found.machine.room_bytes - plan.running_bytes
    smaller = smaller_model(found.config.model, room, found.sizes.total)
    if smaller is None:
        return []
    return [f"a smaller model of the family, such as {smaller.name}, should lie on the card whole"]


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


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
