"""Values of options that ``bench`` alone has."""

import math
from typing import Any

import click

from localfp4.bench.engines.depth import whole_pages
from localfp4.bench.planning.formats import FORMATS
from localfp4.bench.planning.number_lists import numbers
from localfp4.errors import UserError

_AUTO = "auto"
PLOTS = ("png", "svg", "term")


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on only
    """A comma list of whole numbers, with ranges."""

    name = "N[,N…]"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers, or fail in a sentence."""
        if isinstance(value, tuple):
            return value
        try:
            return self._read(value)
        except UserError as error:
            self.fail(str(error), param, ctx)

    def _read(self, text: str) -> tuple[int, ...]:
        return numbers(text, self._least)


class Depths(Numbers):
    """A comma list of tokens in whole pages."""

    def __init__(self) -> None:
        super().__init__(least=0)

    def _read(self, text: str) -> tuple[int, ...]:
        return whole_pages(super()._read(text))


class Words(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on only
    """A comma list of words out of a few, each once."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self._known = known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words, or fail in a sentence."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip().lower() for word in value.split(",")))
        for word in words:
            if word not in self._known:
                self.fail(f"{word!r} is none of {', '.join(self._known)}.", param, ctx)
        return words


class FormatList(Words):
    """A comma list of formats that models can be measured in."""

    def __init__(self) -> None:
        super().__init__("FORMAT[,FORMAT…]", (_AUTO, *FORMATS))


class Percent(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on only
    """A share, such as ``5%`` or ``5``, of which the number is a hundredth."""

    name = "PERCENT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the share, or fail in a sentence."""
        if isinstance(value, float):
            return value
        try:
            percent = float(str(value).removesuffix("%"))
        except ValueError:
            percent = math.nan
        if not 0 <= percent < math.inf:
            self.fail(f"{value!r} is no percentage from 0, such as 5%.", param, ctx)
        return percent / 100
