"""What the screens look like, kept as pictures: at two sizes, in both themes.

``UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py`` draws them anew; look at each that changed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.metadata import version

import pytest

from localfp4.history import SavedConversation, Turn
from localfp4.messages import Delta, Finished, Started
from localfp4.reports import Choice, Compared, Fit, FitRow, ModelEntry, ModelFacts
from localfp4.settings import Settings
from tests.tui.fakes import CARD, GIB, INFO, STATS, FakeBackend, FakeHistory
from tests.tui.harness import Chat, chatting, in_event_loop
from tests.tui.snapshots import check

DRAWN_WITH = "8.2.8"
pytestmark = pytest.mark.skipif(
    version("textual") != DRAWN_WITH,
    reason=f"the pictures were drawn with textual {DRAWN_WITH}; another version may draw otherwise",
)

SIZES = ((80, 24), (120, 40))
THEMES = ("dark", "light")

QUESTION = "What is a common table expression?"
ANSWER = """A **CTE** names a query, so that what follows can use it like a table:

```sql
WITH recent AS (
    SELECT * FROM orders WHERE day > '2026-01-01'
)
SELECT customer, count(*) FROM recent GROUP BY customer;
```

| | subquery | CTE |
|---|---|---|
| has a name | no | yes |
| can be recursive | no | yes |

1. It reads from top to bottom.
2. It can be used *twice*; see [the manual](https://example.org/with).
"""
THOUGHT = "They ask about SQL. I should show a short example and say what it is good for."
TURNS = (
    Turn(1, None, "user", QUESTION),
    Turn(2, 1, "assistant", "A query with a name.", model="demo", finish="length", output_tokens=6),
    Turn(
        3,
        1,
        "assistant",
        ANSWER,
        reasoning=THOUGHT,
        model="demo",
        finish="stop",
        output_tokens=214,
        thinking_tokens=41,
        thinking_s=3.1,
        tokens_per_s=96.2,
        ttft_s=0.041,
        joules=38.2,
    ),
)
TALK = SavedConversation(1, "Common table expressions", "demo", "Be brief.", TURNS, 3)
ON_CARD = replace(
    INFO,
    name="Qwen3-8B-NVFP4",
    parameters=8_190_000_000,
    kernel_path="FP4 weights",
    device="NVIDIA GeForce RTX 4080",
    weight_bytes=int(6.4 * GIB),
    kv_cache_bytes=int(1.3 * GIB),
    max_model_len=16384,
    limit_tokens_per_s=118.5,
)
FITS = Fit(
    True,
    "",
    "RTX 4080",
    15 * GIB,
    16 * GIB,
    rows=(
        FitRow("weights", int(6.4 * GIB), "all of them"),
        FitRow("KV cache", int(1.3 * GIB), "16384 tokens in fp8"),
        FitRow("left", int(7.3 * GIB)),
    ),
    context_tokens=16384,
    model_context_tokens=40960,
    expected_tokens_per_s=96.0,
    limit_tokens_per_s=118.5,
)
MODELS = (
    ModelEntry("Qwen3-8B-NVFP4", "qwen3:8b", size_bytes=int(6.4e9)),
    ModelEntry("org/Large-70B-NVFP4", size_bytes=int(43e9)),
    ModelEntry("org/Half-3B", is_local=False, size_bytes=int(4e9), present_bytes=int(1.2e9)),
)


def _backend() -> FakeBackend:
    backend = FakeBackend(info=ON_CARD)
    backend.loaded = Choice(ON_CARD.name, "w4a16", 16384)
    backend.newest_stats = replace(STATS, phase="idle", memory_engine_bytes=int(8.3 * GIB))
    backend.newest_gauges = CARD
    backend.entries = list(MODELS)
    facts = ModelFacts("qwen3", "NVFP4 W4A16", 8_190_000_000, 40960)
    backend.facts = {entry.name: facts for entry in MODELS[:2]}
    backend.fits = {MODELS[0].name: FITS}
    short = Fit(False, "needs 46.1 GiB; 15.0 free", "RTX 4080", 15 * GIB, 16 * GIB)
    backend.fits[MODELS[1].name] = short
    for side, words in enumerate(("It is a query with a name.", "It is a named subquery.")):
        backend.sides.append(Compared(side, Started("compare", prompt_tokens=40)))
        for token, word in enumerate(words.split(" ")):
            number = token if token < 3 else token + 100 * side
            backend.sides.append(Compared(side, Delta("compare", f"{word} ", (number,))))
        done = Finished("compare", "stop", 40, 0, len(words.split()), 0.04, 0.2)
        backend.sides.append(Compared(side, done))
    return backend


def _history() -> FakeHistory:
    history = FakeHistory()
    history.kept[1] = TALK
    other = (Turn(1, None, "user", "How long does an egg take?"), Turn(2, 1, "assistant", "Six."))
    history.kept[2] = SavedConversation(2, "", "demo", None, other, 2)
    history.models = ["demo", "demo"]
    return history


async def _chat(chat: Chat) -> None:
    await chat.sees("Qwen3-8B", "idle")


async def _thinking(chat: Chat) -> None:
    await chat.press("ctrl+home", "alt+up", "t")
    await chat.sees("They ask about SQL")


async def _help(chat: Chat) -> None:
    await chat.press("f1")
    await chat.sees("Keys and commands")


async def _settings(chat: Chat) -> None:
    await chat.press("f2")
    await chat.sees("Settings of this chat", "0.25")


async def _picker(chat: Chat) -> None:
    await chat.press("ctrl+o")
    await chat.sees("org/Half", "does not fit", "16.4k tokens of context")


async def _sessions(chat: Chat) -> None:
    await chat.press("ctrl+s")
    await chat.sees("How long does an egg take?")


async def _fit(chat: Chat) -> None:
    await chat.send("/fit")
    await chat.sees("tokens of context", "weights", "the bandwidth allows")


async def _compare(chat: Chat) -> None:
    await chat.send("/compare w4a16 w4a4")
    await chat.sees("named subquery", "keep that answer", "back to the chat")


async def _error(chat: Chat) -> None:
    chat.backend.is_alive = False
    await chat.sees("The engine stopped", "Restart")


SCREENS: dict[str, Callable[[Chat], Awaitable[None]]] = {
    "chat": _chat,
    "thinking": _thinking,
    "help": _help,
    "settings": _settings,
    "picker": _picker,
    "sessions": _sessions,
    "fit": _fit,
    "compare": _compare,
    "error": _error,
}


@pytest.mark.parametrize("name", SCREENS)
@in_event_loop
async def test_the_screen_looks_as_it_did(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localfp4_tui.screens.sessions.when_in_words", lambda *_: "2 Jan")
    settings = Settings(sampling={"temperature": 0.25})
    begun = chatting(_backend(), history=_history(), settings=settings, resume=TALK, size=(120, 40))
    async with begun as chat:
        await chat.sees("is ready, loaded in", "ctx 87/16.4k", "VRAM", TALK.title)
        await chat.is_done()
        chat.screen.notice.dismiss()
        # Its thumb follows from guesses at the heights of turns that were not drawn yet.
        chat.screen.transcript.styles.scrollbar_visibility = "hidden"
        await SCREENS[name](chat)
        await chat.is_done()
        for theme in THEMES:
            chat.app.theme = f"localfp4-{theme}"
            for width, height in SIZES:
                await chat.pilot.resize_terminal(width, height)
                picture = await chat.settled(width, height)
                check(picture, f"{name}-{theme}-{width}x{height}")
