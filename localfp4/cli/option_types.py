"""Types of options that click lacks."""

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # which is generic in later versions of click only


class Finite(click.FloatRange):
    """Finite numbers of a range; click takes ``inf`` for large, and ``nan`` for within it."""

    what = "finite number"
    most = sys.float_info.max

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail as click does."""
        number = float(super().convert(value, param, ctx))
        if not abs(number) <= self.most:
            self.fail(f"{value} is no {self.what}.", param, ctx)
        return number


class Gigabytes(Finite):
    """Amounts of memory, which are counted in bytes from here on."""

    what = "number of gigabytes"
    most = 2**63 / 1e9


class OrAuto(_ParamType):
    """Values of another type, or ``auto``, which takes back what the settings say."""

    def __init__(self, type_: _ParamType) -> None:
        self._type = type_
        self.name = type_.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or ``None`` for ``auto``."""
        return None if value == "auto" else self._type.convert(value, param, ctx)
