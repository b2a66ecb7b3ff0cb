"""Why a model is refused, in numbers, and with the command that would fit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from localfp4.errors import ContextError
from localfp4.models.plan.machine import Machine
from localfp4.models.plan.memory_plan import gib
from localfp4.models.smaller import smaller_model
from localfp4.models.spec import DecoderSpec

_PLAIN = re.compile(r"[\w./:@+\\~-]+")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model would take on its device, in bytes.

    Attributes:
        weights: Weights, and what they pass through.
        cache: Keys, values and states.
        cache_words: What that is for, such as ``KV 16384 tokens fp8``.
        workspace: What a step takes.
        is_whole: Whether no weight is left in main memory.
    """

    weights: int
    cache: int
    cache_words: str
    workspace: int
    is_whole: bool = True

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.workspace


def too_long(wanted: int, spec: DecoderSpec) -> ContextError:
    """Refuse a context that the model was not made for."""
    return ContextError(
        f"A context of {wanted} tokens was asked for, and the model was made for "
        f"{spec.max_context}; use --ctx {spec.max_context} or less."
    )


def longer_than_cache(wanted: int, tokens: int) -> ContextError:
    """Refuse a context that does not fit the cache that was asked for."""
    return ContextError(
        f"A context of {wanted} tokens does not fit the KV cache of {tokens} tokens that was "
        "asked for; make the cache at least as large."
    )


def does_not_fit(
    model: str,
    machine: Machine,
    needs: Needs,
    *,
    vram_limit: int | None,
    fitting: int,
    fitting_needs: Needs | None,
    host_bytes: int = 0,
    fp8_needs: Needs | None = None,
    asked: int | None = None,
) -> ContextError:
    """Refuse what does not fit.

    Args:
        model: What the user calls it.
        machine: Where it should run.
        needs: What it would take.
        vram_limit: The most that the user lets it take.
        fitting: Tokens of context that would fit; 0 if none.
        fitting_needs: What it would take with these.
        host_bytes: Main memory it would take besides, where that is what lacks.
        fp8_needs: What it would take with a cache of 8 bits, where that fits.
        asked: Tokens of context that the user asked for.
    """
    name = model if len(model) <= 80 else f"{model[:79]}…"
    total = needs.total + machine.reserve_bytes
    lines = [
        f"{name} needs {gib(total)} GiB; {_available(machine, vram_limit)}",
        f"  {_breakdown(needs, machine)}",
    ]
    if host_bytes:
        lines.append(
            f"  and {gib(host_bytes)} GiB of main memory for weights that do not fit the card; "
            f"{gib(machine.host_room)} GiB can be had"
        )
    chat, ways = f"localfp4 chat {_typed(model)}", []
    if fitting and fitting_needs is not None:
        ways.append(f"{chat} --ctx {fitting}   {_fits(fitting_needs, machine)}")
    if fp8_needs is not None:
        context = "" if asked is None else f" --ctx {asked}"
        ways.append(f"{chat}{context} --kv fp8   {_fits(fp8_needs, machine)}")
    ways += _ways_out(model, machine, needs, vram_limit, bool(fitting))
    return ContextError("\n".join([*lines, f"→ {ways[0]}", *(f"→ or {way}" for way in ways[1:])]))


def _fits(needs: Needs, machine: Machine) -> str:
    where = "" if needs.is_whole else ", with weights in main memory"
    return f"needs {gib(needs.total + machine.reserve_bytes)} GiB, fits{where}"


def _typed(name: str) -> str:
    """Return a name as it is typed: cmd, PowerShell and sh all take double quotes."""
    return name if _PLAIN.fullmatch(name) else f'"{name}"'


def _available(machine: Machine, vram_limit: int | None) -> str:
    free = f"{gib(machine.free_bytes)} GiB free of {gib(machine.total_bytes)}"
    if vram_limit is not None and vram_limit < machine.free_bytes:
        return f"--vram-limit allows {gib(vram_limit)} GiB, {free}"
    return free


def _breakdown(needs: Needs, machine: Machine) -> str:
    others = machine.others_bytes
    parts = [
        f"weights {gib(needs.weights)}",
        f"{needs.cache_words} {gib(needs.cache)}",
        f"work {gib(needs.workspace)}",
        f"reserve {gib(machine.reserve_bytes)}",
    ]
    return " · ".join(parts) + (f" (others hold {gib(others)})" if others > 0 else "")


def _ways_out(
    model: str, machine: Machine, needs: Needs, vram_limit: int | None, has_context: bool
) -> Iterator[str]:
    """Yield what helps besides a shorter context, a line each."""
    if vram_limit is not None and vram_limit < machine.free_bytes:
        yield "raise --vram-limit"
        return
    if machine.others_bytes:
        who = f"close {machine.others_in_words}"
        yield f"{who}       localfp4 doctor --vram" if machine.is_gpu else who
    if machine.choice:
        yield machine.choice
    if not has_context:
        room = machine.room_bytes - needs.cache - needs.workspace
        smaller = smaller_model(model, room, needs.weights)
        example = "" if smaller is None else f", such as {smaller.name}"
        yield f"pick a smaller model{example}"
