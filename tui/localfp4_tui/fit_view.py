"""What is asked of a plan while a slider moves, and its parts in words; no widgets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from localfp4.errors import UserError
from localfp4.reports import Choice, Fit
from localfp4_tui.backend import Backend

LEAST_CONTEXT = 256
"""Tokens at the left end of the slider."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, or why there is none.

    Attributes:
        choice: What was planned.
        fit: The plan.
        error: Why the model cannot be planned at all.
    """

    choice: Choice
    fit: Fit | None = None
    error: str = ""


class Planner:
    """Plans the newest of many choices; those that were overtaken are left out."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._wanted: Choice | None = None
        self._news = asyncio.Event()

    def want(self, choice: Choice) -> None:
        """Ask for a plan."""
        self._wanted = choice
        self._news.set()

    async def plans(self) -> AsyncIterator[Planned]:
        """Yield the plan of whatever is wanted, as fast as plans are made."""
        while True:
            await self._news.wait()
            self._news.clear()
            if (choice := self._wanted) is not None:
                yield await asyncio.to_thread(self._plan, choice)

    def _plan(self, choice: Choice) -> Planned:
        try:
            return Planned(choice, self._backend.fit(choice))
        except UserError as error:
            return Planned(choice, error=str(error))


def at_context(choice: Choice, tokens: int, most: int) -> Choice:
    """Return a choice with another context, within what is possible."""
    return replace(choice, context=min(max(tokens, min(LEAST_CONTEXT, most)), most))
