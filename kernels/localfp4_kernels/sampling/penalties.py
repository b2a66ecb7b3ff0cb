"""Penalties for tokens already seen, and biases, applied to logits in place.

Both come as lists of the tokens concerned, all rows behind each other. A list holds what a request
has seen, a few thousand tokens at most; counts of the whole vocabulary would take as much memory as
the logits, and as long to read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.device import target_of
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_BLOCK = 256
_PROGRAMS = 4
"""Per row; each takes every fourth block of the row's list, however long it is."""


@dataclass(frozen=True, slots=True)
class SeenTokens:
    """The distinct tokens of every row's prompt and answer.

    Attributes:
        starts: int32 ``[R + 1]``; row r has the entries from ``starts[r]`` to ``starts[r + 1]``.
        tokens: int64 ``[entries]``, each once in a row.
        times: int32 ``[entries]``, how often it occurs in the answer; 0 if only in the prompt.
        latest: int64 ``[R]``, one more token of every row's answer, which may be in the lists or
            not; -1 is none. ``None`` where no row has one. With it, what one step draws counts in
            the next before the host has seen it.
    """

    starts: torch.Tensor
    tokens: torch.Tensor
    times: torch.Tensor
    latest: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Penalties:
    """How strongly each row is penalised; all float32 ``[R]``.

    Attributes:
        repetition: Divides positive and multiplies negative logits of all tokens seen (Keskar et
            al. 2019, CTRL); 1 is off.
        presence: Subtracted once from the logits of tokens in the answer.
        frequency: Subtracted per occurrence in the answer.
    """

    repetition: torch.Tensor
    presence: torch.Tensor
    frequency: torch.Tensor


@dataclass(frozen=True, slots=True)
class Biases:
    """Numbers to add to some logits of every row.

    Attributes:
        starts: int32 ``[R + 1]``, as in :class:`SeenTokens`.
        tokens: int64 ``[entries]``, each once in a row.
        values: float32 ``[entries]``.
    """

    starts: torch.Tensor
    tokens: torch.Tensor
    values: torch.Tensor


@triton.jit
def _penalise_kernel(
    logits_ptr,
    starts_ptr,
    tokens_ptr,
    times_ptr,
    latest_ptr,
    repetition_ptr,
    presence_ptr,
    frequency_ptr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    """Penalise every PROGRAMS-th block of one row's list; the first program, what it lacks."""
    row = tl.program_id(0)
    begin, end = tl.load(starts_ptr + row), tl.load(starts_ptr + row + 1)
    repetition = tl.load(repetition_ptr + row)
    presence, frequency = tl.load(presence_ptr + row), tl.load(frequency_ptr + row)
    latest = tl.full((), -1, tl.int64)
    if latest_ptr is not None:
        latest = tl.load(latest_ptr + row)
    first = begin + tl.program_id(1) * BLOCK
    for start in range(first, end, PROGRAMS * BLOCK):
        entry = start + tl.arange(0, BLOCK)
        listed = entry < end
        token = tl.load(tokens_ptr + entry, mask=listed, other=0)
        times = tl.load(times_ptr + entry, mask=listed, other=0) + (token == latest).to(tl.int32)
        place = logits_ptr + row.to(tl.int64) * V + token
        x = _penalised(tl.load(place, mask=listed), times, repetition, presence, frequency)
        tl.store(place, x, mask=listed)
    if latest_ptr is not None:  # noqa: SIM102 - decided when compiling, the other one when running
        if (tl.program_id(1) == 0) & (latest >= 0):
            found = tl.full((), 0, tl.int32)
            for start in range(begin, end, BLOCK):
                entry = start + tl.arange(0, BLOCK)
                token = tl.load(tokens_ptr + entry, mask=entry < end, other=-1)
                found += tl.sum((token == latest).to(tl.int32), 0)
            if found == 0:
                place = logits_ptr + row.to(tl.int64) * V + latest
                x = _penalised(tl.load(place), found + 1, repetition, presence, frequency)
                tl.store(place, x)


@triton.jit
def _penalised(x, times, repetition, presence, frequency):
    """Return the logits of tokens that are in the answer so many times."""
    x = tl.where(x > 0, tl.div_rn(x, repetition), x * repetition)
    return tl.where(times > 0, x - (presence + frequency * times.to(tl.float32)), x)


@triton.jit
def _bias_kernel(
    logits_ptr,
    starts_ptr,
    tokens_ptr,
    values_ptr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
    PROGRAMS: tl.constexpr,
):
    """Add every PROGRAMS-th block of one row's list."""
    row = tl.program_id(0)
    end = tl.load(starts_ptr + row + 1)
    first = tl.load(starts_ptr + row) + tl.program_id(1) * BLOCK
    for start in range(first, end, PROGRAMS * BLOCK):
        entry = start + tl.arange(0, BLOCK)
        listed = entry < end
        token = tl.load(tokens_ptr + entry, mask=listed, other=0)
        place = logits_ptr + row.to(tl.int64) * V + token
        x = tl.load(place, mask=listed) + tl.load(values_ptr + entry, mask=listed)
        tl.store(place, x, mask=listed)


def plan_penalise(
    logits: torch.Tensor, seen: SeenTokens, penalties: Penalties, *, target: Target
) -> Plan[torch.Tensor]:
    """Plan :func:`penalise`."""
    check_tensor("logits", logits, ("R", "V"), torch.float32)
    _check_list("seen", seen.starts, seen.tokens, logits)
    check_tensor("seen.times", seen.times, seen.tokens.shape, torch.int32, like=logits)
    if seen.latest is not None:
        check_tensor("seen.latest", seen.latest, logits.shape[:1], torch.int64, like=logits)
    strengths = {
        "repetition": penalties.repetition,
        "presence": penalties.presence,
        "frequency": penalties.frequency,
    }
    for name, value in strengths.items():
        check_tensor(f"penalties.{name}", value, logits.shape[:1], torch.float32, like=logits)
    lists = {
        "starts_ptr": seen.starts,
        "tokens_ptr": seen.tokens,
        "times_ptr": seen.times,
        "latest_ptr": seen.latest,
    }
    arguments = lists | {f"{name}_ptr": value for name, value in strengths.items()}
    return Plan((_launch(_penalise_kernel, logits, arguments),), logits)


def penalise(logits: torch.Tensor, seen: SeenTokens, penalties: Penalties) -> torch.Tensor:
    """Penalise the tokens each row has seen, in place: repetition first, then the other two.

    Args:
        logits: float32 ``[R, V]``.
        seen: The tokens.
        penalties: The strengths.

    Returns:
        ``logits``.

    Raises:
        ValueError: An argument has another type or shape.
    """
    return plan_penalise(logits, seen, penalties, target=target_of(logits.device)).run()


def penalise_torch(logits: torch.Tensor, seen: SeenTokens, penalties: Penalties) -> torch.Tensor:
    """Compute :func:`penalise` in plain torch."""
    rows = _rows_of(seen.starts, seen.tokens)
    times, tokens = seen.times, seen.tokens
    if seen.latest is not None:
        again = tokens == seen.latest[rows]
        listed = torch.zeros_like(seen.latest).index_add(0, rows, again.long()) > 0
        fresh = torch.nonzero((seen.latest >= 0) & ~listed).squeeze(-1)
        rows, tokens = torch.cat((rows, fresh)), torch.cat((tokens, seen.latest[fresh]))
        times = torch.cat((times + again, torch.ones_like(fresh)))
    x = logits[rows, tokens]
    repetition = penalties.repetition[rows]
    x = torch.where(x > 0, x / repetition, x * repetition)
    answered = penalties.presence[rows] + penalties.frequency[rows] * times
    logits[rows, tokens] = torch.where(times > 0, x - answered, x)
    return logits


def plan_add_biases(logits: torch.Tensor, biases: Biases, *, target: Target) -> Plan[torch.Tensor]:
    """Plan :func:`add_biases`."""
    check_tensor("logits", logits, ("R", "V"), torch.float32)
    _check_list("biases", biases.starts, biases.tokens, logits)
    check_tensor("biases.values", biases.values, biases.tokens.shape, torch.float32, like=logits)
    arguments = {
        "starts_ptr": biases.starts,
        "tokens_ptr": biases.tokens,
        "values_ptr": biases.values,
    }
    return Plan((_launch(_bias_kernel, logits, arguments),), logits)


def add_biases(logits: torch.Tensor, biases: Biases) -> torch.Tensor:
    """Add biases to float32 logits ``[R, V]`` in place, after any penalties.

    Returns:
        ``logits``.

    Raises:
        ValueError: An argument has another type or shape.
    """
    return plan_add_biases(logits, biases, target=target_of(logits.device)).run()


def add_biases_torch(logits: torch.Tensor, biases: Biases) -> torch.Tensor:
    """Compute :func:`add_biases` in plain torch."""
    logits[_rows_of(biases.starts, biases.tokens), biases.tokens] += biases.values
    return logits


def _launch(
    kernel: Any, logits: torch.Tensor, arguments: Mapping[str, torch.Tensor | None]
) -> Launch:
    return Launch(
        kernel=kernel,
        grid=(logits.shape[0], _PROGRAMS),
        arguments={"logits_ptr": logits, **arguments},
        constants={"V": logits.shape[1], "BLOCK": _BLOCK, "PROGRAMS": _PROGRAMS},
    )


def _check_list(
    name: str, starts: torch.Tensor, tokens: torch.Tensor, logits: torch.Tensor
) -> None:
    check_tensor(f"{name}.starts", starts, (logits.shape[0] + 1,), torch.int32, like=logits)
    check_tensor(f"{name}.tokens", tokens, ("entries",), torch.int64, like=logits)


def _rows_of(starts: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the row of every entry."""
    rows = torch.arange(len(starts) - 1, device=tokens.device)
    return rows.repeat_interleave(starts.diff())
