"""How large a mix is."""

from collections.abc import Iterable

from localfp4.quantize.mixing.units import Unit
from localfp4.quantize.recipe import WeightFormat


def mix_bytes(units: Iterable[Unit], formats: dict[str, WeightFormat | None]) -> int:
    """Return the bytes of units in the formats that :func:`allocate` chose."""
    return sum(unit.nbytes(formats[unit.sites[0].name]) for unit in units)
