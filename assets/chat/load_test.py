"""How the chat stands up to 200 tokens/s below 100 turns, as a table.

Run from the root of the repository:

    PYTHONPATH=. python assets/chat/load_test.py [--tokens 10000] [--rate 200] [--turns 100]

The chat runs twice: without a terminal, where the event loop and the widgets are watched too, and
in a pseudo-terminal, whose keys and bytes are those that a terminal would see. The machine should
be quiet; CPU time is that of the process, so that other programs disturb only the latency.
"""

import argparse
import asyncio
import fcntl
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from time import monotonic, perf_counter

from localfp4_tui.app import ChatApp
from tests.tui.load import KEY_EVERY_S, SIZE, TYPED, Firehose, Load, begin, measure

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
WARM_UP_S = 3.0


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=10_000, help="length of the answer")
    parser.add_argument("--rate", type=float, default=200.0, help="tokens per second")
    parser.add_argument("--turns", type=int, default=100, help="turns on the screen")
    parser.add_argument("--in-terminal", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.in_terminal:
        chat(options.tokens, options.rate, options.turns)
        return
    headless = asyncio.run(measure(options.tokens, options.rate, options.turns))
    terminal = in_terminal(options.tokens, options.rate, options.turns)
    print(f"{options.tokens} tokens at {options.rate:.0f}/s below {options.turns} turns, ", end="")
    print(f"{SIZE[0]}x{SIZE[1]}, a key every {KEY_EVERY_S:.2f} s\n")
    print("| | no terminal | pseudo-terminal |\n|---|--:|--:|")
    for name, *values in rows(headless, terminal, options.tokens):
        print(f"| {name} | {' | '.join(values)} |")


def rows(headless: Load, terminal: Load, tokens: int) -> list[tuple[str, str, str]]:
    """Return the lines of the table."""
    both = (headless, terminal)
    table = [
        ("CPU, share of a core", *(f"{load.cpu_share:.1%}" for load in both)),
        *(
            (
                f"key to screen, p{percent}",
                *(f"{load.latency_s(percent) * 1e3:.0f} ms" for load in both),
            )
            for percent in (50, 95)
        ),
        *(
            (f"memory at {at} tokens", *(f"{load.at(at)[1] / 2**20:.1f} MiB" for load in both))
            for at in (tokens // 2, tokens - 1000)
        ),
    ]
    lag_ms = headless.lag_s(95) * 1e3
    widgets = [headless.at(at)[2] for at in (tokens // 2, tokens - 1000)]
    table.append(("event loop late, p95", f"{lag_ms:.0f} ms", ""))
    table.append(("widgets, halfway and at the end", f"{widgets[0]} and {widgets[1]}", ""))
    return [(name, first, second) for name, first, second in table]


def in_terminal(tokens: int, rate: float, turns: int) -> Load:
    """Run the chat in a pseudo-terminal, be its keyboard, and watch it from outside."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        options = (f"--tokens={tokens}", f"--rate={rate}", f"--turns={turns}", "--in-terminal")
        os.execve(sys.executable, (sys.executable, __file__, *options), environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    try:
        return _play(pid, terminal, tokens, rate)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def chat(tokens: int, rate: float, turns: int) -> None:
    """Be the process in the pseudo-terminal."""
    backend = Firehose(tokens, rate)
    app = ChatApp(backend, model="demo", history=None)

    async def play(_: object) -> None:
        await begin(app, backend, turns)
        while backend.is_sending:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        app.exit()

    app.run(auto_pilot=play)


def _play(pid: int, terminal: int, tokens: int, rate: float) -> Load:
    """Type until the answer is complete; the process tells nothing but what is on the screen."""
    load = Load()
    _read_until(terminal, "tok …", WARM_UP_S * 10)
    _read_until(terminal, "", WARM_UP_S)
    began_s, cpu_s = monotonic(), _cpu_s(pid)
    left_s = tokens / rate - WARM_UP_S - 1
    letters = cycle(TYPED)
    while monotonic() - began_s < left_s:
        _read_until(terminal, "", KEY_EVERY_S)
        letter = next(letters)
        pressed_s = perf_counter()
        os.write(terminal, letter.encode())
        if _read_until(terminal, letter, 5.0):
            load.latencies_s.append(perf_counter() - pressed_s)
        if letter == TYPED[-1]:
            os.write(terminal, b"\x15")  # deletes to the start of the line
        elapsed_s = monotonic() - began_s
        load.memory.append((int((WARM_UP_S + elapsed_s) * rate), _resident_bytes(pid), 0))
    load.cpu_share = (_cpu_s(pid) - cpu_s) / (monotonic() - began_s)
    while _read_until(terminal, "\0", 5.0):
        pass
    return load


def _read_until(terminal: int, text: str, within_s: float) -> bool:
    """Read what the terminal gets, until some text is part of it; an empty one never is."""
    deadline_s = monotonic() + within_s
    awaited, seen = text.encode(), b""
    while (left_s := deadline_s - monotonic()) > 0:
        if not select.select([terminal], [], [], left_s)[0]:
            return False
        with suppress(OSError):  # the process has ended
            seen = seen[-64:] + os.read(terminal, 65536)
            if awaited and awaited in seen:
                return True
            continue
        return False
    return False


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_S


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(sys.argv[1:])
