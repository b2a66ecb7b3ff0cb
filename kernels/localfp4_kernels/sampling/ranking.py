"""Which tokens of many rows top-k and top-p keep, on a CPU with numpy.

The likely tokens of all rows lie behind each other in flat arrays, so that a batch takes as many
calls as one row, and nothing sorts a whole vocabulary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MASS_UNIT = np.float32(2.0**40)
"""Shares become integers in this unit, whose sums do not depend on their order."""

_LIKELY = np.float32(2.0**-10)
"""Shares of the most probable token's probability from which a token is ranked at first."""

_ROW_BIT, _SHARE_BIT = 52, 21
_ONE = 0x3F800000
"""The bits of a share of 1; those of non-negative floats order as the numbers do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What rows keep; all arrays ``[R]``.

    Attributes:
        top_k: int64, the number of tokens; 0 keeps all.
        top_p: float32: the smallest set of tokens whose probabilities, after top-k, reach this sum
            (Holtzman et al. 2020); 1 keeps all.
        min_p: float32: tokens less probable than this share of the most probable one are dropped
            (Nguyen et al. 2024).
    """

    top_k: Integers
    top_p: Floats
    min_p: Floats

    @property
    def restricted(self) -> Flags:
        """Where some tokens may be dropped."""
        return (self.top_k > 0) | (self.top_p < 1) | (self.min_p > 0)

    def of(self, rows: slice | Integers) -> "Limits":
        """Return those of some rows."""
        return Limits(self.top_k[rows], self.top_p[rows], self.min_p[rows])


@dataclass(frozen=True, slots=True)
class Kept:
    """Some tokens of R rows, row by row, in the order of their ids; all others are dropped.

    Attributes:
        places: ``[n]``, in all of ``[R * V]``.
        bounds: ``[R + 1]``, where each row begins and ends; it has at least its likeliest token.
        masses: ``[n]``, 0 for those that are dropped too.
    """

    places: Integers
    bounds: Integers
    masses: Integers


def kept_tokens(shares: Floats, masses: Integers, limits: Limits) -> Kept:
    """Return the tokens that stay.

    A token stays while the mass before it, of more probable ones and of equals with lower ids, does
    not reach what top-p wants; the first always does.

    Args:
        shares: ``[R, V]``, probabilities relative to the largest of each row; at most 2**11 rows
            and 2**20 tokens in all, or one row of that many.
        masses: ``[R, V]``, the same as integers.
        limits: R of them.
    """
    likely = _Likely.of(shares, masses, limits)
    found, left = shares.ravel()[likely.places], masses.ravel()[likely.places]
    if likely.by_k.any() or likely.by_p.any():
        left *= likely.ranks_high(found, masses, limits.top_p)
    if limits.min_p.any():
        left *= found >= np.repeat(limits.min_p, likely.counts)
    return Kept(likely.places, likely.bounds, left)


@dataclass(frozen=True, slots=True)
class _Likely:
    """The tokens of R rows that may stay, row by row, in the order of their ids.

    Attributes:
        places: ``[n]``, in all of ``[R * V]``.
        bounds: ``[R + 1]``, where each row begins and ends; it has at least its likeliest token.
        counts: ``[R]``, how many it has.
        top_k: ``[R]``, how many may stay.
        by_k: ``[R]``, whether that is fewer than V.
        by_p: ``[R]``, whether top-p may drop some.
        totals: ``[R]``, the masses of whole rows.
    """

    places: Integers
    bounds: Integers
    counts: Integers
    top_k: Integers
    by_k: Flags
    by_p: Flags
    totals: Integers

    @classmethod
    def of(cls, shares: Floats, masses: Integers, limits: Limits) -> "_Likely":
        """Look at few tokens of each row first, and at more where they do not suffice."""
        vocab = shares.shape[1]
        top_k = np.where(limits.top_k > 0, np.minimum(limits.top_k, vocab), vocab)
        by_k, by_p = top_k < vocab, limits.top_p < 1
        totals, wanted = masses.sum(-1), limits.top_p.astype(np.float64)
        # Fewer than V tokens have less than this each, and together less than top-p drops.
        spare = np.where(by_k, 0, 0.99 * (1 - wanted)) * totals / (float(MASS_UNIT) * vocab)
        # What min-p drops may be left out, unless it counts in the part that top-p takes of top-k.
        spare = np.maximum(spare, np.where(by_k & by_p, 0, limits.min_p)).astype(np.float32)
        floors = np.maximum(spare, _LIKELY)
        places, bounds = _above(floors, shares)
        counts = bounds[1:] - bounds[:-1]
        covered = np.add.reduceat(masses.ravel()[places], bounds[:-1])
        lacking = np.where(by_k, counts < top_k, covered < wanted * totals) & (floors > spare)
        if lacking.any():
            places, bounds = _above(np.where(lacking, spare, floors), shares)
            counts = bounds[1:] - bounds[:-1]
        return cls(places, bounds, counts, top_k, by_k, by_p, totals)

    def ranks_high(self, shares: Floats, masses: Integers, top_p: Floats) -> Flags:
        """Return which of the tokens top-k and top-p keep.

        Args:
            shares: ``[n]``, of these tokens.
            masses: ``[R, V]``, of all.
            top_p: ``[R]``.
        """
        starts = self.bounds[:-1]
        falling = (_ONE - shares.view(np.int32)).astype(np.int64)
        rows = np.repeat(np.arange(len(starts), dtype=np.int64) << _ROW_BIT, self.counts)
        keys = rows | falling << _SHARE_BIT | self.places
        ranked = np.sort(keys)
        ranked_masses = masses.ravel()[ranked & (1 << _SHARE_BIT) - 1]
        reached = ranked_masses.cumsum()
        before = reached - ranked_masses
        earlier, most = before[starts], np.minimum(self.counts, self.top_k)
        whole = np.where(self.by_k, reached[starts + most - 1] - earlier, self.totals)
        part = np.ceil(top_p.astype(np.float64) * whole).astype(np.int64)
        goals = earlier + np.where(self.by_p, part, whole)
        staying = np.minimum(np.maximum(before.searchsorted(goals) - starts, 1), most)
        flags: Flags = keys <= np.repeat(ranked[starts + staying - 1], self.counts)
        return flags


def _above(floors: Floats, shares: Floats) -> tuple[Integers, Integers]:
    """Return the places of shares ``[R, V]`` from each row's floor on, and the rows' bounds."""
    places = np.flatnonzero(shares >= floors[:, None])
    rows, vocab = shares.shape
    return places, places.searchsorted(np.arange(rows + 1) * vocab)


def walk(masses: Integers, bounds: Integers, numbers: Integers) -> Integers:
    """Return, of each row, the index of the mass in which its 31 random bits end.

    Args:
        masses: ``[n]``, row by row.
        bounds: ``[R + 1]``, where each row begins and ends.
        numbers: ``[R]``.
    """
    reached, starts = masses.cumsum(), bounds[:-1]
    before = reached[starts] - masses[starts]
    totals = reached[bounds[1:] - 1] - before
    # Product and shift in two parts, as the product has more bits than an integer.
    goals = (totals >> 31) * numbers + ((totals & 0x7FFFFFFF) * numbers >> 31)
    return reached.searchsorted(before + goals, side="right")
