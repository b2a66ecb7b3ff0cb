"""Advice and plans as text and as JSON types; stdlib only."""

import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.models.plan import MemoryPlan
from localfp4.models.plan.memory_plan import gib, rounded
from localfp4.quantize.decimal_bytes import in_decimal
from localfp4.quantize.planning.advise import Advice
from localfp4.quantize.planning.plan import QuantisePlan
from localfp4.quantize.planning.published import Reason
from localfp4.reports import FitRow

_WIDTH = 98


def advice_in_words(name: str, where: str, advice: Advice) -> list[str]:
    """Return the lines that tell a person.

    Args:
        name: The model, as the user called it.
        where: What it was planned for.
        advice: What is advised.
    """
    size = advice.size
    return [
        f"{shown(name)} on {shown(where)}",
        "",
        f"  {advice.command}",
        "",
        f"  size     {in_decimal(size.total)}, instead of {in_decimal(size.total_before)}",
        f"  runs     {_running(advice.run)}",
        f"  original {_running(advice.original)}",
        f"  making   {_making(advice.plan)}",
        "",
        "Why",
        *_bullets(advice.reasons),
        "",
        "Not chosen",
        *_bullets(advice.others),
        "",
        "To expect",
        *_bullets(advice.expectations),
    ]


def plan_in_words(plan: QuantisePlan) -> list[str]:
    """Return the lines that tell a person what a quantisation takes."""
    lines = [_line(row, _amount(row.size_bytes)) for row in plan.memory_rows()]
    lines += [_line(row, in_decimal(row.size_bytes)) for row in plan.disk_rows()]
    for shortage in plan.shortages:
        lines += ["", *_wrapped(f"→ {shortage}", "  ")]
    return lines


def advice_as_object(advice: Advice) -> dict[str, Any]:
    """Return what is advised in JSON types."""
    return {
        "recipe": asdict(advice.recipe),
        "command": advice.command,
        "reasons": [asdict(reason) for reason in advice.reasons],
        "others": [asdict(reason) for reason in advice.others],
        "expectations": [asdict(reason) for reason in advice.expectations],
        "size_bytes": advice.size.total,
        "original_bytes": advice.size.total_before,
        "context_tokens": None if advice.run is None else advice.run.max_model_len,
        "original_context_tokens": None
        if advice.original is None
        else advice.original.max_model_len,
        "expected_tokens_per_s": None if advice.run is None else advice.run.expected_tokens_per_s,
        "plan": plan_as_object(advice.plan),
    }


def plan_as_object(plan: QuantisePlan) -> dict[str, Any]:
    """Return what a quantisation takes in JSON types."""
    return {
        "fits": plan.fits,
        "shortages": list(plan.shortages),
        "dtype": plan.dtype,
        "device_bytes": plan.device_bytes,
        "device_room_bytes": plan.device_room,
        "main_memory_bytes": plan.ram_bytes,
        "disk_bytes": plan.disk_bytes,
        "result_bytes": plan.size.total,
        "original_bytes": plan.size.total_before,
        "hessian_rounds": plan.hessians.rounds,
        "activations_on_disk": plan.activations_on_disk,
        "rows": [
            {"what": row.what, "bytes": row.size_bytes}
            for row in (*plan.memory_rows(), *plan.disk_rows())
        ],
    }


def _line(row: FitRow, amount: str) -> str:
    return f"  {row.what:<12}{amount:>9}  {row.remark}".rstrip()


def _running(plan: MemoryPlan | None) -> str:
    if plan is None:
        return "does not fit"
    words = f"with {plan.max_model_len} tokens of context"
    if plan.expected_tokens_per_s is not None:
        words += f", about {rounded(plan.expected_tokens_per_s)} tokens/s"
    if not plan.placement.is_whole:
        words += f", with {_amount(plan.host_bytes)} of weights in main memory"
    return words


def _making(plan: QuantisePlan) -> str:
    if plan.shortages:
        return plan.shortages[0]
    room, disk = _amount(plan.device_room), in_decimal(plan.disk_bytes)
    if plan.dtype == "float32":
        return f"takes {_amount(plan.ram_bytes)} of {room} of main memory, and {disk} on the disk"
    return (
        f"takes {_amount(plan.device_bytes)} of {room} on the GPU, {_amount(plan.ram_bytes)} of main "
        f"memory and {disk} on the disk"
    )


def _amount(count: int) -> str:
    """Return bytes in GiB, or in MiB where those are few."""
    return f"{gib(count)} GiB" if count >= 2**30 // 10 else f"{count / 2**20:.1f} MiB"


def _bullets(reasons: Iterable[Reason]) -> list[str]:
    return [line for reason in reasons for line in _wrapped(str(reason), "  - ")]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_on_hyphens=False,
    )
