"""The whole chat, nothing faked: the demo model in an engine process, and a history in a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from localfp4.backend.local import LocalBackend
from localfp4.config import EngineConfig
from localfp4.history import SavedConversation, SqliteHistory
from localfp4.settings import Settings
from localfp4_tui.app import ChatApp
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, in_event_loop

BF16 = Path(__file__).parents[2] / "assets" / "demo" / "bf16"


@asynccontextmanager
async def talking(
    history: SqliteHistory, *, resume: SavedConversation | None = None
) -> AsyncIterator[Chat]:
    """Talk with the demo, greedily."""
    backend = LocalBackend(EngineConfig("demo", threads=1))
    settings = Settings(sampling={"temperature": 0.0})
    with closing(backend):
        app = ChatApp(backend, model="demo", history=history, settings=settings, resume=resume)
        async with app.run_test(size=(110, 40)) as pilot:
            chat = Chat(app, pilot, FakeBackend())  # which nobody asks: the engine is a real one
            await chat.sees("idle")
            yield chat


@pytest.mark.slow
@in_event_loop
async def test_a_conversation_with_the_demo(tmp_path: Path) -> None:
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:
        async with talking(history) as chat:
            await chat.sees("demo is ready")
            await chat.send("What is NVFP4?")
            await chat.sees("4 bits", "· stop", "idle")
            first = history.recent()[0]
            assert (first.title, first.turns) == ("What is NVFP4?", 2)
            await chat.press("ctrl+r")
            await chat.sees("2/2", "idle")
            await chat.press("alt+left")
            await chat.sees("1/2")
            await chat.send("/context")
            await chat.sees("What is NVFP4?", "tok")
            await chat.press("escape")
            await chat.send("/fit")
            await chat.sees("KV cache", "weights")
            await chat.press("escape")
            await chat.send("/heat")
            await chat.send("Who are you?")
            await chat.sees("Who are you?", "idle")
            await chat.until(lambda: history.recent()[0].turns == 5)
        (kept,) = history.recent()
        saved = history.load(kept.id)
        assert [turn.id for turn in saved.branch] == [1, 2, 4, 5]
        async with talking(history, resume=saved) as chat:
            await chat.sees("Who are you?", saved.branch[-1].content[:20])
            assert len(history.recent()) == 1


@pytest.mark.slow
@in_event_loop
async def test_models_are_switched_compared_and_measured(tmp_path: Path) -> None:
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:
        async with talking(history) as chat:
            await chat.send("What is NVFP4?")
            await chat.sees("4 bits", "idle")
            await chat.send(f"/compare demo {BF16}")
            await chat.sees("agree", "1 or 2 keep that answer")
            await chat.press("escape")
            await chat.sees("idle")
            await chat.send(f"/model {BF16}")
            await chat.sees("BF16", "idle")
            await chat.send("And you?")
            await chat.sees("parameters", "· stop", "idle")
            await chat.send("/bench")
            await chat.sees("Prefill", "Decode", "±")
            await chat.press("escape")
            await chat.send("/continue")
            await chat.sees("idle")
