"""A chat under load: a fast answer below many turns, someone who types, and what that costs."""

import asyncio
import re
import resource
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from statistics import quantiles
from time import monotonic, perf_counter, process_time, sleep

from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Key

from localfp4.history import Turn
from localfp4.messages import Delta, Event, Finished, Request, Started
from localfp4_tui.app import ChatApp
from localfp4_tui.conversation import Conversation
from localfp4_tui.screens.chat import ChatScreen
from tests.tui.fakes import FakeBackend

SIZE = (120, 40)
KEY_EVERY_S = 0.23
TYPED = "αβγδεζηθικλμνξοπρστυφχψω"
"""Letters that no answer has, so that they are seen on the screen when they are there."""

PROSE = """## Part {n}: why the numbers are what they are

A decoder reads every weight once for each token, so its speed is what the memory can *deliver*
divided by what the weights **weigh**. With `NVFP4` a weight takes half a byte and a scale, see
[the format](https://example.org/formats/{n}), and that is nearly four times less than `BF16`.

"""
LIST = """The steps of part {n}:

1. **Read** the scales first, since a block of sixteen weights shares one of them.
2. Multiply in `float32`, then round once:
   - once for the sum of a block,
   - and *never* for a single product, as that would lose what the scales have won.
3. Write the result of step {n} where the next layer looks for it.

"""
CODE = '''```python
def part_{n}(weights: Tensor, scales: Tensor, x: Tensor) -> Tensor:
    """Multiply part {n}; a reference that is easy to read."""
    total = torch.zeros(weights.shape[0], dtype=torch.float32)
    for block in range(weights.shape[1] // 16):
        columns = slice(16 * block, 16 * (block + 1))
        products = decode(weights[:, columns]) * x[columns]  # exact in float32
        total += products.sum(dim=1) * scales[:, block]
    return total
```

'''
TABLE = """| format | bits | tokens/s | error |
|:-------|-----:|---------:|------:|
| BF16 | 16 | 31.{n} | 0 |
| FP8 | 8 | 60.2 | 0.4% |
| INT4 | 4.25 | 99.8 | 2.1% |
| NVFP4 | 4.5 | 96.4 | 1.6% |

> What counts is the whole answer, not one product of part {n}.

"""
PIECE = re.compile(r"\s*(?:\w{1,5}|[^\w\s]{1,3})|\s+")


def tokens() -> Iterator[str]:
    """Yield Markdown without an end, in pieces as long as tokens are."""
    for n, part in zip(count(1), cycle((PROSE, LIST, CODE, TABLE)), strict=False):
        yield from PIECE.findall(part.replace("{n}", str(n)))


def text_of(length: int) -> str:
    """Return Markdown of about as many tokens."""
    return "".join(token for token, _ in zip(tokens(), range(length), strict=False))


def turns(number: int, length: int = 300) -> list[Turn]:
    """Return turns of a conversation: questions, and answers of some tokens."""
    answer = text_of(length)
    return [
        Turn(n, n - 1 or None, "user", f"Question {n}: why is that so?")
        if n % 2
        else Turn(n, n - 1, "assistant", answer, finish="stop", output_tokens=length)
        for n in range(1, number + 1)
    ]


class Firehose(FakeBackend):
    """Answers with a number of tokens at some pace."""

    def __init__(self, length: int, tokens_per_s: float) -> None:
        super().__init__()
        self.sent = 0
        self.is_sending = True
        self._length = length
        self._pause_s = 1 / tokens_per_s

    def stream(self, request: Request) -> Iterator[Event]:
        yield Started(request.id, prompt_tokens=40)
        began = monotonic()
        for number, token in zip(range(1, self._length + 1), tokens(), strict=False):
            sleep(max(0.0, began + number * self._pause_s - monotonic()))
            self.sent = number
            yield Delta(request.id, token, token_ids=(number,))
        self.is_sending = False
        yield Finished(request.id, "stop", 40, 0, self._length, 0.04, monotonic() - began)


class WatchedTerminal(HeadlessDriver):
    """Takes what a terminal would get, and notes when something awaited is part of it."""

    awaited = ""
    seen_s = 0.0

    @property
    def is_headless(self) -> bool:
        """Say no, or nothing would be written."""
        return False

    def write(self, data: str) -> None:
        if self.awaited and self.awaited in data:
            self.seen_s = perf_counter()
            self.awaited = ""


@dataclass
class Load:
    """What a streamed answer cost.

    Attributes:
        cpu_share: CPU time of the process as a share of one core.
        latencies_s: From each key to the terminal getting its letter.
        lags_s: How late the event loop was.
        memory: Tokens so far, resident bytes and number of widgets.
    """

    cpu_share: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    memory: list[tuple[int, int, int]] = field(default_factory=list)

    def latency_s(self, percent: int) -> float:
        """Return a percentile of the time from a key to the screen."""
        return percentile(self.latencies_s, percent)

    def lag_s(self, percent: int) -> float:
        """Return a percentile of how late the event loop was."""
        return percentile(self.lags_s, percent)

    def at(self, tokens: int) -> tuple[int, int, int]:
        """Return the first note of the memory after so many tokens."""
        return next(note for note in self.memory if note[0] >= tokens)


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def resident_bytes() -> int:
    """Return the memory of this process; its peak where the present use is not to be had."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def measure(length: int, tokens_per_s: float, turns_before: int) -> Load:
    """Stream one answer below other turns, type meanwhile, and return what that cost."""
    backend = Firehose(length, tokens_per_s)
    app = ChatApp(backend, model="demo", history=None)
    app.driver_class = WatchedTerminal
    load = Load()

    async def play(_: object) -> None:
        chat = await begin(app, backend, turns_before)
        terminal = app._driver
        assert isinstance(terminal, WatchedTerminal)
        watches = (type_letters(chat, terminal, load), note_memory(chat, backend, load))
        await watch(load, backend, *watches, note_lag(load))
        app.exit()

    await app.run_async(size=SIZE, auto_pilot=play)
    return load


async def begin(app: ChatApp, backend: Firehose, turns_before: int) -> ChatScreen:
    """Wait until the model is loaded, show turns, and have an answer begin below them."""
    chat = app.screen_stack[0]
    assert isinstance(chat, ChatScreen)
    while chat.session.info is None:
        await asyncio.sleep(0.05)
    chat.session.conversation = Conversation(turns=turns(turns_before))
    await chat.show_branch()
    await chat.send("Go on.")
    while backend.sent < 200:
        await asyncio.sleep(0.05)
    assert chat.transcript.is_following
    assert chat.transcript.newest_answer is not None
    assert chat.transcript.newest_answer.region.overlaps(chat.transcript.region)
    return chat


async def watch(load: Load, backend: Firehose, *watches: Coroutine[None, None, None]) -> None:
    """Note CPU time, and whatever else is watched, until the answer is complete."""
    cpu_s, began_s = process_time(), monotonic()
    tasks = [asyncio.create_task(coroutine) for coroutine in watches]
    while backend.is_sending:
        await asyncio.sleep(0.05)
    load.cpu_share = (process_time() - cpu_s) / (monotonic() - began_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def type_letters(chat: ChatScreen, terminal: WatchedTerminal, load: Load) -> None:
    """Press a key now and then, and note when the terminal gets its letter."""
    for letter in cycle(TYPED):
        await asyncio.sleep(KEY_EVERY_S)
        terminal.awaited = letter
        pressed_s = perf_counter()
        chat.app.post_message(Key(letter, letter))
        while terminal.awaited:
            await asyncio.sleep(0.002)
        load.latencies_s.append(terminal.seen_s - pressed_s)
        if letter == TYPED[-1]:
            chat.prompt.clear()


async def note_lag(load: Load) -> None:
    """Note how late the event loop wakes up."""
    while True:
        began_s = perf_counter()
        await asyncio.sleep(0.02)
        load.lags_s.append(perf_counter() - began_s - 0.02)


async def note_memory(chat: ChatScreen, backend: Firehose, load: Load) -> None:
    """Note the memory now and then."""
    while True:
        widgets = sum(1 for _ in chat.walk_children())
        load.memory.append((backend.sent, resident_bytes(), widgets))
        await asyncio.sleep(2.0)
