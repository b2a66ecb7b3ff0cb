"""What gets a format of its own under mixed precision; torch-free."""

from collections.abc import Iterable
from dataclasses import dataclass

from localfp4.quantize.chosen import together
from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.sites import Site

_FP8_SCALE_BYTES = 4
"""Of each row."""

_GLOBAL_SCALE_BYTES = 4

_BITS_16 = 2
"""Bytes of a weight that stays as it is."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Sites that share a format.

    A site outside of a mixture is alone. The experts of a layer are one unit, gates and outputs
    alike: whoever runs them keeps them in stacks of one format.

    Attributes:
        name: What it is called in messages.
        sites: Its sites.
    """

    name: str
    sites: tuple[Site, ...]

    def nbytes(self, format: WeightFormat | None) -> int:
        """Return its bytes in a file, scales included; ``None`` is 16 bits."""
        return sum(_site_bytes(site, format) for site in self.sites)


def units_of(sites: Iterable[Site]) -> tuple[Unit, ...]:
    """Return the units of some sites, in their order."""
    found: dict[str, list[Site]] = {}
    for site in sites:
        found.setdefault(together(site.name), []).append(site)
    return tuple(Unit(name, tuple(members)) for name, members in found.items())


def _site_bytes(site: Site, format: WeightFormat | None) -> int:
    count, rows = site.weights, sum(site.rows)
    match format:
        case "nvfp4":  # codes, and an E4M3 scale for each 16
            return count // 2 + count // 16 + _GLOBAL_SCALE_BYTES * len(site.rows)
        case "mxfp4":  # codes, and an E8M0 scale for each 32
            return count // 2 + count // 32
        case "fp8":
            return count + _FP8_SCALE_BYTES * rows
    return _BITS_16 * count
