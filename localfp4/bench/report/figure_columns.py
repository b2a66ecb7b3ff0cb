"""Which figures tables show, in what units, those that are asked for most first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from localfp4.bench.cost import Prices
from localfp4.bench.summary import Spread
from localfp4.documents.tables import Column

_MIB, _GIB = 2**20, 2**30

_BOUNDS = {
    "memory": ("M", "memory bandwidth"),
    "cache": ("L", "cache bandwidth"),
    "compute": ("C", "speed of products"),
}
"""What a cell says of a limit, and what is said of it below the tables."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A series in a case.

    Attributes:
        spreads: Of its figures, by name; empty where it was not measured.
        bounds: What limits its ``decode`` and its ``prefill``, where that is known.
    """

    spreads: Mapping[str, Spread]
    bounds: Mapping[str, str]


def main_columns(cells: Sequence[Cell]) -> list[Column]:
    """Return the columns of the figures that decide: throughput, latencies, and the cost."""
    return _present(
        cells,
        _Figure("out tok/s", "output_tokens_per_s", _with_sd),
        _Figure("TTFT ms", "ttft_ms", _with_sd),
        _Figure("TPOT ms", "tpot_ms", _with_sd),
        _Figure("cost/M", "cost_per_million", _mean),
    )


def phase_columns(cells: Sequence[Cell]) -> list[Column]:
    """Return the columns of the two phases, with how near they come to the device, and memory.

    They are inverse to the latencies, and vary as those do.
    """
    return [
        *_present(
            cells,
            _Figure("prefill tok/s", "prefill_tokens_per_s", _prefill),
            _Figure("decode tok/s", "decode_tokens_per_s", _decode),
        ),
        *_peak(cells),
    ]


def further_columns(cells: Sequence[Cell]) -> list[Column]:
    """Return the columns of what is asked for less: the slowest percent, and energy."""
    return _present(
        cells,
        _Figure("TTFT p99 ms", "ttft_p99_ms", _with_sd),
        _Figure("ITL p99 ms", "itl_p99_ms", _with_sd),
        _Figure("W", "watts", _mean),
        _Figure("J/token", "joules_per_token", _mean),
    )


def explained(cells: Sequence[Cell], prices: Prices | None) -> str:
    """Return what columns mean that do not say it themselves, in sentences.

    Args:
        cells: What the columns tell of.
        prices: That were given; where nothing follows from them, it is said why.
    """
    told = ["out tok/s: generated tokens over the whole time, prefill included."]
    found = {bound for cell in cells for bound in cell.bounds.values()}
    limits = [f"{words} ({letter})" for name, (letter, words) in _BOUNDS.items() if name in found]
    if limits:
        told.append(
            "In brackets: share of what the device allows at best, by its measured "
            f"{' or '.join(limits)}."
        )
    if any("cost_per_million" in cell.spreads for cell in cells):
        told.append("cost/M: of a million generated tokens.")
    elif prices is not None and prices.kwh is not None:
        told.append(
            "What tokens cost is not known, since nothing here tells its energy; --price-hour alone "
            "needs no meter."
        )
    return " ".join(told)


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


@dataclass(frozen=True, slots=True)
class _Figure:
    """A column: its heading, its figure, and what is told of it."""

    heading: str
    name: str
    told: Callable[[Spread, Cell], str]


def _present(cells: Sequence[Cell], *figures: _Figure) -> list[Column]:
    """Return a column for every figure that any cell has."""
    return [
        Column(figure.heading, tuple(_cells(figure, cells)))
        for figure in figures
        if any(figure.name in cell.spreads for cell in cells)
    ]


def _cells(figure: _Figure, cells: Sequence[Cell]) -> Iterator[str]:
    for cell in cells:
        spread = cell.spreads.get(figure.name)
        yield "-" if spread is None else figure.told(spread, cell)


def _with_sd(spread: Spread, cell: Cell) -> str:
    del cell
    return with_deviation(spread.mean, spread.sd)


def _mean(spread: Spread, cell: Cell) -> str:
    del cell
    return with_deviation(spread.mean, None)


def _prefill(spread: Spread, cell: Cell) -> str:
    return _reaching(spread, cell, "prefill")


def _decode(spread: Spread, cell: Cell) -> str:
    return _reaching(spread, cell, "decode")


def _reaching(speed: Spread, cell: Cell, phase: str) -> str:
    """Return a speed and its share of the limit, such as ``205 (46% M)``."""
    told = with_deviation(speed.mean, None)
    share = cell.spreads.get(f"percent_of_limit_{phase}")
    if share is None:
        return told
    digits = 0 if share.mean >= 10 else 1
    return f"{told} ({share.mean:.{digits}f}% {_BOUNDS[cell.bounds[phase]][0]})"


def _peak(cells: Sequence[Cell]) -> list[Column]:
    spreads = [cell.spreads.get("peak_memory_bytes") for cell in cells]
    sizes = [spread.mean for spread in spreads if spread]
    if not sizes:
        return []
    unit, name, digits = (_GIB, "GiB", 2) if max(sizes) >= _GIB else (_MIB, "MiB", 0)
    told = (f"{spread.mean / unit:.{digits}f}" if spread else "-" for spread in spreads)
    return [Column(f"peak {name}", tuple(told))]
