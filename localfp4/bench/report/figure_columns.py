"""Which figures a table shows, in what units, those that are asked for most first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from localfp4.bench.report.tables import Column
from localfp4.bench.summary import Spread

_MIB, _GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Cell:
    """A series in a case.

    Attributes:
        spreads: Of its figures, by name; empty where it was not measured.
        bounds: What limits its ``decode`` and its ``prefill``, where that is known.
    """

    spreads: Mapping[str, Spread]
    bounds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A column: its heading, its figure, and whether the deviation is told.

    What has none varies with a figure that has, or hardly.
    """

    heading: str
    name: str
    has_deviation: bool = True


_FIGURES = (
    _Figure("prefill tok/s", "prefill_tokens_per_s"),
    _Figure("decode tok/s", "decode_tokens_per_s"),
    _Figure("TTFT ms", "ttft_ms"),
    _Figure("TPOT ms", "tpot_ms"),
    _Figure("decode reaches", "percent_of_limit_decode"),
    _Figure("prefill reaches", "percent_of_limit_prefill"),
    _Figure("memory", "memory_bytes"),
    _Figure("peak", "peak_memory_bytes"),
    _Figure("per user tok/s", "decode_tokens_per_s_per_user"),
    _Figure("TTFT p99 ms", "ttft_p99_ms"),
    _Figure("ITL p99 ms", "itl_p99_ms"),
    _Figure("E2E ms", "e2e_ms"),
    _Figure("W", "watts", has_deviation=False),
    _Figure("J/token", "joules_per_token"),
    _Figure("cost/M tokens", "cost_per_million", has_deviation=False),
)


def figure_columns(cells: Sequence[Cell]) -> list[Column]:
    """Return a column for every figure that any cell has.

    What a single user gets is told where some batch has several.
    """
    return [
        _column(figure, cells)
        for figure in _FIGURES
        if any(figure.name in cell.spreads for cell in cells)
        and (figure.name != "decode_tokens_per_s_per_user" or _differs_per_user(cells))
    ]


def with_deviation(mean: float, deviation: float | None) -> str:
    """Return ``mean ± sd`` with three digits of the mean, and one more where the sd needs it."""
    digits = _decimals(mean)
    if deviation is None:
        return f"{mean:.{digits}f}"
    digits += 0 < deviation < 10**-digits / 2
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _decimals(number: float) -> int:
    """Return the decimals that give a number three digits; whole numbers may have more."""
    rounded = abs(float(f"{number:.3g}"))
    return 0 if rounded == 0 else max(0, 2 - math.floor(math.log10(rounded)))


def _differs_per_user(cells: Sequence[Cell]) -> bool:
    pairs = (
        (cell.spreads.get("decode_tokens_per_s"), cell.spreads.get("decode_tokens_per_s_per_user"))
        for cell in cells
    )
    return any(
        all_users and one and with_deviation(all_users.mean, None) != with_deviation(one.mean, None)
        for all_users, one in pairs
    )


def _column(figure: _Figure, cells: Sequence[Cell]) -> Column:
    if figure.name.endswith("_bytes"):
        return _memory(figure, cells)
    if figure.name.startswith("percent_of_limit_"):
        return Column(figure.heading, tuple(_reached(figure, cells)))
    found = (cell.spreads.get(figure.name) for cell in cells)
    return Column(figure.heading, tuple(_told(spread, figure.has_deviation) for spread in found))


def _told(spread: Spread | None, has_deviation: bool) -> str:
    if spread is None:
        return "-"
    return with_deviation(spread.mean, spread.sd if has_deviation else None)


def _memory(figure: _Figure, cells: Sequence[Cell]) -> Column:
    spreads = [cell.spreads.get(figure.name) for cell in cells]
    unit, name = _MIB, "MiB"
    if any(spread and spread.mean >= _GIB for spread in spreads):
        unit, name = _GIB, "GiB"
    digits = 2 if unit == _GIB else 0
    told = (f"{spread.mean / unit:.{digits}f}" if spread else "-" for spread in spreads)
    return Column(f"{figure.heading} {name}", tuple(told))


def _reached(figure: _Figure, cells: Sequence[Cell]) -> Iterator[str]:
    part = figure.name.removeprefix("percent_of_limit_")
    for cell in cells:
        spread = cell.spreads.get(figure.name)
        if spread is None:
            yield "-"
        else:
            digits = 0 if spread.mean >= 10 else 1
            yield f"{spread.mean:.{digits}f}% of {cell.bounds[part]}"
