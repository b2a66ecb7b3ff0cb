"""One question answered by several choices in turn, since a card rarely holds two at once."""

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from localfp4.config import EngineConfig
from localfp4.messages import Event, LoadProgress, ModelInfo, Request
from localfp4.reports import Choice, Compared


class Engine(Protocol):
    """One engine at a time, which can be put to other choices."""

    def load(self, choice: Choice) -> Generator[LoadProgress, None, None]:
        """Load a choice in the place of what is loaded."""

    def choice(self) -> Choice:
        """Return what is loaded, or would be by the next load."""

    def info(self) -> ModelInfo:
        """Return what was loaded."""

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yield the events of an answer; closing it stops the answer."""

    def alive(self) -> bool:
        """Say whether something is loaded."""


def compare(
    engine: Engine,
    request: Request,
    choices: Sequence[Choice],
    *,
    configured: Callable[[Choice], EngineConfig],
    end_at: Callable[[Choice], object],
) -> Generator[Compared, None, None]:
    """Answer one request with each choice in turn, and then load again what was loaded.

    A choice that is loaded already is asked first, without loading it anew. Each side begins
    with how far its model is loaded and with what was loaded; then come the events of its answer,
    a refusal among them. All sides have the same seed. How far the way back is comes last, with
    the number of choices as its side.

    Where this is closed early or raises, what was loaded before is either still loaded or would
    be by the next load.

    Args:
        engine: What loads and answers.
        request: What each side is asked, under an id of its own.
        choices: The sides.
        configured: Tells what a choice comes to: choices of equal configs are the same.
        end_at: Ends the engine, so that the next load is that of a choice.

    Yields:
        News of a side.

    Raises:
        UserError: A model cannot be loaded.
        EngineDiedError: An engine ended.
    """
    before = engine.choice()
    request = seeded(request)
    loaded = configured(before) if engine.alive() else None
    is_back = False
    try:
        for side in asked_order([configured(choice) for choice in choices], loaded):
            if configured(choices[side]) != loaded:
                loaded = None
                yield from _told(side, engine.load(choices[side]))
                loaded = configured(choices[side])
            yield Compared(side, engine.info())
            own_request = replace(request, id=f"{request.id}-{side}")
            yield from _told(side, engine.stream(own_request))
        if loaded != configured(before):
            loaded = None
            yield from _told(len(choices), engine.load(before))
        is_back = True
    finally:
        if not is_back and loaded != configured(before):
            end_at(before)


def seeded(request: Request) -> Request:
    """Return a request whose tokens are drawn alike by whoever answers it."""
    if request.sampling.seed is not None:
        return request
    return replace(request, sampling=replace(request.sampling, seed=secrets.randbelow(2**31)))


def asked_order(sides: Sequence[EngineConfig], loaded: EngineConfig | None) -> list[int]:
    """Return the sides in the order in which they are asked: what is loaded comes first."""
    return sorted(range(len(sides)), key=lambda side: sides[side] != loaded)


def _told(
    side: int, news: Generator[LoadProgress, None, None] | Generator[Event, None, None]
) -> Generator[Compared, None, None]:
    with closing(news):
        for one in news:
            yield Compared(side, one)
