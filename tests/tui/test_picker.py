"""The list of models: finding, loading, downloading, and what cannot be had."""

import queue
import threading
from collections.abc import Generator
from dataclasses import replace

import pytest

from localfp4.errors import UserError
from localfp4.messages import LoadProgress
from localfp4.reports import Choice, Fit, ModelEntry, ModelFacts
from localfp4_tui.model_row import shorten_path
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

GB = 10**9
FITS = Fit(True, "", "RTX 4070", 11 * GB, 12 * GB, context_tokens=8192, expected_tokens_per_s=62.4)
PARTLY = Fit(True, "", "RTX 4070", 11 * GB, 12 * GB, context_tokens=4096, is_whole=False)
TOO_LARGE = Fit(False, "org/large needs 30.1 GiB; 11.0 free\n  weights", "RTX", 11 * GB, 12 * GB)


class Hub:
    """A download whose progress the test decides."""

    def __init__(self) -> None:
        self.begun = 0
        self.closed = 0
        self._steps: queue.Queue[LoadProgress | Exception | None] = queue.Queue()
        self._newest = LoadProgress("Looking for it")

    def steps(self) -> Generator[LoadProgress, None, None]:
        self.begun += 1
        try:
            while True:
                try:
                    step = self._steps.get(timeout=0.05)
                except queue.Empty:
                    step = self._newest
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    return
                self._newest = step
                yield step
        finally:
            self.closed += 1

    def arrive(self, done: int, total: int = 4 * GB) -> None:
        self._steps.put(LoadProgress("Downloading org/new", done, total))

    def finish(self) -> None:
        self._steps.put(None)

    def fail(self, message: str) -> None:
        self._steps.put(UserError(message))


class Shop(FakeBackend):
    """A backend with a few models, and a hub."""

    def __init__(self, answers: tuple[str, ...] = ()) -> None:
        super().__init__(answers)
        self.hub = Hub()
        self.entries = [
            ModelEntry("demo", size_bytes=9_000_000),
            ModelEntry("org/Middle-NVFP4", "middle:8b", size_bytes=6 * GB),
            ModelEntry("org/mixture", size_bytes=18 * GB),
            ModelEntry("org/large", size_bytes=40 * GB),
            ModelEntry("org/broken", size_bytes=1),
            ModelEntry("org/new", "new:3b", is_local=False, size_bytes=4 * GB),
            ModelEntry("org/begun", is_local=False, size_bytes=4 * GB, present_bytes=GB),
        ]
        facts = ModelFacts("qwen3", "NVFP4 W4A4", 8_200_000_000, 40960)
        self.facts = {entry.name: facts for entry in self.entries if entry.name != "org/broken"}
        self.fits = {"demo": FITS, "org/Middle-NVFP4": FITS, "org/mixture": PARTLY}
        self.fits |= {"org/large": TOO_LARGE, "org/new": FITS}

    def download(self, model: str) -> Generator[LoadProgress, None, None]:
        yield from self.hub.steps()


def row(chat: Chat, name: str) -> str:
    """The two lines of a model."""
    at = next(i for i, line in enumerate(chat.lines) if name in line)
    return "\n".join(chat.lines[at : at + 2])


async def opened(chat: Chat) -> None:
    await chat.press("ctrl+o")
    await chat.sees("Models", "does not fit", "cannot run")


@in_event_loop
async def test_models_are_listed_with_what_is_known_of_them() -> None:
    async with chatting(Shop(), size=(90, 30)) as chat:
        await opened(chat)
        assert "● demo" in row(chat, "demo  ")
        middle = row(chat, "org/Middle-NVFP4")
        for words in ("middle:8b", "fits", "6.00 GB", "NVFP4 W4A4", "qwen3 8.2B", "41k context"):
            assert words in middle
        assert "partly in RAM" in row(chat, "org/mixture")
        assert "does not fit" in row(chat, "org/large")
        assert "is not on this computer" in row(chat, "org/broken")
        assert "download" in row(chat, "org/new")
        assert "1.00 GB of 4.00 GB here" in row(chat, "org/begun")
        await chat.sees("8.2k tokens of context · about 62 tok/s")
        await chat.press("down", "down", "down")
        await chat.sees("org/large needs 30.1 GiB; 11.0 free. Enter shows what would fit.")
        await chat.press("enter")
        await chat.sees("What fits", "does not fit")
        await chat.press("escape", "down", "enter")
        await chat.sees("org/broken is not on this computer yet.")
        await chat.press("pageup", "pagedown", "up", "escape")
        await chat.sees_no("Models")
        assert chat.backend.loads == 1


@in_event_loop
async def test_typing_finds_and_enter_loads_while_the_conversation_stays() -> None:
    async with chatting(Shop(("One.", "Two."))) as chat:
        await chat.send("hello")
        await chat.sees("One.", "idle")
        await opened(chat)
        await chat.press(*"middle")
        await chat.sees_no("org/large")
        await chat.press("enter")
        await chat.sees("org/Middle-NVFP4 is ready", "One.", "idle")
        assert chat.backend.loaded == Choice("org/Middle-NVFP4")
        await chat.send("and?")
        await chat.sees("Two.")
        assert [text for _, text in chat.asked()] == ["hello", "One.", "and?"]
        await chat.press("ctrl+o")
        await chat.sees("● org/Middle-NVFP4")
        await chat.press(*"middle", "enter")
        await chat.sees_no("Models")
        assert chat.backend.loads == 2


@in_event_loop
async def test_a_download_is_paused_gone_on_with_and_loaded() -> None:
    shop = Shop()
    async with chatting(shop, size=(90, 30)) as chat:
        await opened(chat)
        await chat.press(*"org/new", "enter")
        shop.hub.arrive(GB)
        await chat.sees("25%", "1.00 GB of 4.00 GB", "Space pauses")
        await chat.press("enter")
        await chat.press("space")
        await chat.sees("paused")
        await chat.until(lambda: shop.hub.closed == 1)
        assert shop.hub.begun == 1
        await chat.press("space")
        shop.hub.arrive(2 * GB)
        await chat.sees("50%", "2.00 GB of 4.00 GB")
        shop.hub.arrive(3 * GB)
        await chat.sees("75%", "GB/s", "left")
        shop.hub.arrive(4 * GB)
        shop.hub.finish()
        await chat.sees("4.00 GB · NVFP4 W4A4", "fits")
        await chat.press("enter")
        await chat.sees("org/new is ready")


@in_event_loop
async def test_closing_pauses_and_says_so() -> None:
    shop = Shop()
    async with chatting(shop) as chat:
        await opened(chat)
        await chat.press(*"org/begun", "space")
        shop.hub.arrive(GB)
        await chat.sees("25%")
        await chat.press("escape")
        await chat.sees("The download of org/begun is paused")
        await chat.until(lambda: shop.hub.closed == 1)


@in_event_loop
async def test_an_id_that_is_not_listed_can_be_downloaded_and_errors_stand_in_its_row() -> None:
    shop = Shop()
    async with chatting(shop, size=(100, 30)) as chat:
        await opened(chat)
        await chat.press(*"nobody/knows")
        await chat.sees("↓ nobody/knows", "Enter downloads it.")
        await chat.press("ctrl+f", "enter")
        shop.hub.fail("There is no model nobody/knows on the hub.")
        await chat.sees("There is no model nobody/knows on the hub.")
        await chat.press("enter")
        shop.hub.arrive(GB)
        await chat.sees("25%")
        await chat.press(*["backspace"] * 12, *"zzz")
        await chat.sees("No model has such a name")
        await chat.press("enter", "space", "ctrl+f", "down", "escape")
        await chat.sees("nobody/knows is paused")


@in_event_loop
async def test_the_command_loads_by_name_shows_what_is_not_here_and_tells_slips() -> None:
    shop = Shop()
    async with chatting(shop) as chat:
        await chat.send("/model MIDDLE:8b")
        await chat.sees("org/Middle-NVFP4 is ready")
        await chat.send("/model new:3b")
        await chat.sees("↓ org/new")
        await chat.press("escape")
        await chat.send("/model some/where")
        await chat.sees("↓ some/where")
        await chat.press("escape")
        await chat.send("/model nonsense")
        await chat.sees("nonsense is not on this computer")
        assert chat.prompt.text == "/model nonsense"
        await chat.send("/model")
        await chat.sees("does not fit")


@in_event_loop
async def test_a_folder_of_two_names_is_a_model_and_a_name_is_known_however_it_is_written() -> None:
    async with chatting(Shop()) as chat:
        chat.backend.facts["my/folder"] = chat.backend.facts["demo"]
        await chat.send("/model my/folder")
        await chat.until(lambda: chat.backend.loaded == Choice("my/folder"))
        chat.backend.entries[1] = replace(chat.backend.entries[1], alias="Mine")
        await chat.send("/model mINE")
        await chat.until(lambda: chat.backend.loaded == Choice("org/Middle-NVFP4"))
        chat.backend.loaded = Choice("MINE")
        await chat.sees("idle")
        await opened(chat)
        await chat.sees("● org/Middle")


@in_event_loop
async def test_a_switch_stops_the_answer_and_keeps_what_is_written() -> None:
    async with chatting(Shop()) as chat:
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.say("Half an ans")
        await chat.sees("Half an ans")
        await opened(chat)
        await chat.press(*"middle", "enter")
        await chat.sees("org/Middle-NVFP4 is ready", "Half an ans", "idle")
        assert chat.backend.cancelled == ["chat-1"]


@in_event_loop
async def test_a_switch_does_not_wait_for_an_engine_that_ignores_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localfp4_tui.screens.model_actions.PATIENCE_S", 0.2)
    async with chatting(Shop()) as chat:
        chat.backend.obeys_cancel = False
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.say("Half an ans")
        await chat.sees("Half an ans")
        await chat.send("/model middle:8b")
        await chat.sees("org/Middle-NVFP4 is ready", "Half an ans", "idle")
        assert "engine stopped" not in chat.text


@in_event_loop
async def test_a_new_chat_while_a_switch_waits_for_the_answer_to_end() -> None:
    async with chatting(Shop()) as chat:
        chat.backend.obeys_cancel = False
        await chat.send("hello")
        await chat.is_asked(1)
        await opened(chat)
        await chat.press(*"middle", "enter")
        await chat.sees("stopping")
        await chat.press("ctrl+n")
        await chat.sees_no("hello")
        await chat.until(lambda: chat.backend.loaded == Choice("org/Middle-NVFP4"))
        await chat.sees("idle")


@in_event_loop
async def test_a_switch_keeps_a_message_that_is_being_edited() -> None:
    async with chatting(Shop()) as chat:
        await chat.ask("hello", "Hi.")
        await chat.press("up")
        await chat.sees("Editing an earlier message")
        chat.prompt.text = "hello, you"
        await opened(chat)
        await chat.press(*"middle", "enter")
        await chat.sees("org/Middle-NVFP4 is ready", "Editing an earlier message")
        assert chat.prompt.text == "hello, you"
        chat.backend.answers.append("Hi, you.")
        await chat.press("enter")
        await chat.sees("Hi, you.", "2/2", "idle")


@in_event_loop
async def test_names_from_outside_cannot_draw_on_the_screen() -> None:
    shop = Shop()
    shop.entries[1] = ModelEntry("/models/\x1b[31m[bold]x\n", size_bytes=1)
    async with chatting(shop, size=(60, 18)) as chat:
        await opened(chat)
        assert "\x1b" not in chat.text
        assert "[bold]x" in chat.text
        await chat.pilot.resize_terminal(20, 5)
        await chat.press("down")
        await chat.press("escape")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("org/a-name-that-is-long", "org/a-name-that-is-long"),
        ("/models/a/b", "/models/a/b"),
        ("/models/of/mine/fine-tune", "…mine/fine-tune"),
        ("C:\\models\\of\\mine\\x", "…dels\\of\\mine\\x"),
    ],
)
def test_the_end_of_a_long_path_stays_in_view(name: str, shown: str) -> None:
    assert shorten_path(name, 15) == shown


@in_event_loop
async def test_whether_it_would_fit_is_asked_of_the_hub_before_a_download() -> None:
    shop = Shop()
    shop.fits |= {"org/new": FITS, "org/begun": replace(TOO_LARGE, reason="org/begun needs 30 GiB")}
    async with chatting(shop) as chat:
        await opened(chat)
        await chat.press(*"org/new", "ctrl+f")
        await chat.sees("It would fit:")
        assert "download" in row(chat, "↓ org/new")
        await chat.press(*["backspace"] * 3, *"begun", "ctrl+f")
        await chat.sees("does not fit")
        await chat.press(*["backspace"] * 5, *"nowhere", "ctrl+f")
        await chat.sees("org/nowhere is not on this computer yet.")
    assert shop.hub.begun == 0


class SlowHub(Shop):
    """A hub that answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def fit(self, choice: Choice) -> Fit:
        if choice.model == "o/s":
            self.may_answer.wait(60)
        return super().fit(choice)


@in_event_loop
async def test_what_the_hub_says_late_is_told_of_the_model_that_was_asked_for() -> None:
    shop = SlowHub()
    async with chatting(shop) as chat:
        try:
            await opened(chat)
            await chat.press(*"o/s", "ctrl+f")
            await chat.sees("Its headers are being asked for.")
            await chat.press(*["backspace"] * 3, *"beg")
            await chat.sees("Enter goes on with the download")
        finally:
            shop.may_answer.set()
        await chat.sees_no("o/s is not on this computer yet.")
        await chat.press(*["backspace"] * 3, *"o/s")
        await chat.sees("o/s is not on this computer yet.")
