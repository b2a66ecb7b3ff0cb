"""``localfp4 fit --gpu all``: a model on every card of the table, a line each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from localfp4.checkpoint.hub import Source
from localfp4.cli.chosen_machine import machine_with
from localfp4.cli.looking import download_in_words
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.forecast import Forecast, candidate, plan_for, weigh
from localfp4.models.plan.memory_plan import rounded
from localfp4.telemetry.cards import CARDS, Card
from localfp4.text.sanitize import sanitize


@dataclass(frozen=True, slots=True)
class OnCard:
    """A model on a card.

    Attributes:
        card: Which.
        found: The plan; ``None`` where it does not fit.
        reason: Why it does not; empty where it does.
    """

    card: Card
    found: Forecast | None
    reason: str = ""


def on_all_cards(config: EngineConfig, source: Source, ram_gb: float) -> list[OnCard]:
    """Plan a model for every card of the table.

    Args:
        config: What was asked for.
        source: Where the model is.
        ram_gb: Main memory beside each card.

    Raises:
        UserError: The model cannot be run anywhere.
    """
    machines = [(card, machine_with(card, ram_gb)) for card in CARDS]
    weighed = weigh(config, candidate(source, config.rounding), machines[0][1])
    found = []
    for card, machine in machines:
        try:
            found.append(OnCard(card, plan_for(config, weighed, machine)))
        except ContextError as error:
            found.append(OnCard(card, None, str(error).partition("\n")[0]))
    return found


def in_lines(name: str, source: Source, found: Sequence[OnCard]) -> list[str]:
    """Return a heading and a line a card."""
    heading = ", ".join(filter(None, (name, download_in_words(source))))
    rows = [("card", "memory", "", "context", "speed, an estimate"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return [sanitize(line).rstrip() for line in (heading, *(f"  {line}" for line in lines))]


def as_rows(found: Sequence[OnCard]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the JSON object."""
    for one in found:
        plan = None if one.found is None else one.found.plan
        yield {
            "card": one.card.name,
            "total_bytes": one.card.memory_bytes,
            "fits": plan is not None,
            "reason": one.reason,
            "context_tokens": None if plan is None else plan.max_model_len,
            "kv_dtype": None if plan is None else plan.kv_dtype,
            "main_memory_bytes": None if plan is None else plan.host_bytes,
            "limit_tokens_per_s": None if plan is None else plan.limit_tokens_per_s,
            "expected_tokens_per_s": None if plan is None else plan.expected_tokens_per_s,
        }


def _row(one: OnCard) -> tuple[str, str, str, str, str]:
    memory = f"{one.card.memory_gib:.1f} GiB"
    if one.found is None:
        return one.card.name, memory, "does not fit", "", ""
    plan = one.found.plan
    fits = "fits" if plan.placement.is_whole else f"{plan.host_bytes / 2**30:.1f} GiB in RAM"
    expected = plan.expected_tokens_per_s
    speed = "" if expected is None else f"{rounded(expected)} tokens/s"
    return one.card.name, memory, fits, f"{plan.max_model_len} tokens", speed
