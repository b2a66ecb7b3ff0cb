"""How a server stands up to many clients that come and go, as a table.

Run from the root of the repository:

    PYTHONPATH=.:kernels:tui python assets/serve/load_test.py [--streams 64] [--seconds 60]

It starts ``localfp4 serve MODEL`` and keeps so many requests going at once, some of them not streamed,
with answers of random length. A third of the clients hang up at a random moment. Afterwards
everything must be as before: nothing runs, nothing waits, no page of the KV cache is held.
Linux only, since it reads the memory of the processes from /proc.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from time import perf_counter, sleep
from urllib.request import urlopen

HANG_UP = 1 / 3
"""Share of the clients that go before their answer is there."""

QUESTIONS = ("What is 12 + 30?", "Tell me a story about a fox.", "What is NVFP4?", "Hello!")


@dataclass
class Tally:
    """What the clients saw.

    Attributes:
        statuses: Answers by their HTTP status.
        hung_up: Requests that were left.
        broken: Answers that ended without their end, or with an error in mid-stream.
        tokens: Pieces of text that came.
        ttft_s: Seconds to the first of them, of streams.
        memory: Bytes of the server and of all processes below it, once a second.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    hung_up: int = 0
    broken: list[str] = field(default_factory=list)
    tokens: int = 0
    ttft_s: list[float] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Start a server, load it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    port = free_port()
    with server(options.model, port) as process:
        tally = asyncio.run(load(port, options, process.pid))
        sleep(2.0)
        metrics = read_metrics(port)
    print(table(tally, metrics, options))


@contextmanager
def server(model: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``localfp4 serve`` until the end of a block."""
    command = [sys.executable, "-m", "localfp4", "serve", model, "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                break
            sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(60)
    if process.returncode:
        sys.exit(f"the server ended with {process.returncode}")


async def load(port: int, options: argparse.Namespace, pid: int) -> Tally:
    """Keep requests going."""
    tally, end_s = Tally(), perf_counter() + options.seconds
    clients = [
        client(port, random.Random(options.seed * 1000 + place), end_s, tally)
        for place in range(options.streams)
    ]
    watch = asyncio.create_task(watch_memory(pid, tally))
    await asyncio.gather(*clients)
    watch.cancel()
    return tally


async def client(port: int, rng: random.Random, end_s: float, tally: Tally) -> None:
    """Ask again and again; what is still being written at the end is read to its end."""
    while perf_counter() < end_s:
        streams = rng.random() < 0.85
        question = f"{rng.choice(QUESTIONS)} ({rng.randrange(10**6)})"
        body = {
            "model": "any",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": rng.randrange(8, 160),
            "temperature": 1.0,
            "ignore_eos": True,
            "stream": streams,
        }
        leaves_s = rng.uniform(0.0, 4.0) if rng.random() < HANG_UP else None
        try:
            async with asyncio.timeout(leaves_s):
                await ask(port, body, tally)
        except TimeoutError:
            tally.hung_up += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.broken.append(repr(error))


async def ask(port: int, body: dict[str, object], tally: Tally) -> None:
    """Send one request, and read what comes."""
    began_s = perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        payload = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
            "Connection: close\r\n\r\n"
        )
        writer.write(head.encode() + payload)
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        tally.statuses[status] += 1
        ended = first = False
        async for line in lines(reader):
            if not body["stream"]:
                ended = ended or b'"finish_reason"' in line or status != 200
            elif line.startswith(b"data: [DONE]"):
                ended = True
            elif line.startswith(b"data: ") and b'"error"' in line:
                tally.broken.append(line.decode())
            elif line.startswith(b"data: ") and b'"content"' in line:
                tally.tokens += 1
                if not first and b'"role"' not in line:
                    first = True
                    tally.ttft_s.append(perf_counter() - began_s)
        if status == 200 and not ended:
            tally.broken.append("an answer without its end")
        if status == 503:
            await asyncio.sleep(1.0)
    finally:
        writer.close()


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a response; sizes of chunks stand among them and mean nothing here."""
    while line := await reader.readline():
        yield line


async def watch_memory(pid: int, tally: Tally) -> None:
    """Note once a second what the server and its children take."""
    while True:
        own, *others = map(resident_bytes, family(pid))
        tally.memory.append((own, sum(others)))
        await asyncio.sleep(1.0)


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    with suppress(OSError):  # it has ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text(encoding="ascii").split():
                found += family(int(child))
    return found


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory; 0 where it has ended."""
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("ascii"))
        return int(found[1]) * 1024 if found else 0
    return 0


def read_metrics(port: int) -> dict[str, float]:
    """Return the lines of ``/metrics``, by name and labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def quantile_of(metrics: dict[str, float], histogram: str, share: float) -> float:
    """Return the upper end of the bucket that a quantile lies in."""
    pattern = re.compile(re.escape(histogram) + r'_bucket\{.*le="([^"]+)"')
    buckets = [(float(m[1]), v) for name, v in metrics.items() if (m := pattern.match(name))]
    total = max(value for _, value in buckets)
    return min(bound for bound, value in buckets if value >= share * total)


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, 0 where there are no values."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else 0.0


def free_port() -> int:
    """Return a port that nobody listens at."""
    with closing(socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def table(tally: Tally, metrics: dict[str, float], options: argparse.Namespace) -> str:
    """Return what came of it in Markdown."""
    answered = sum(tally.statuses.values())
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(tally.statuses.items()))
    rows = [
        ("requests answered, by status", f"{answered}: {statuses}"),
        ("left by their clients", str(tally.hung_up)),
        ("ended without their end, or in an error", str(len(tally.broken))),
        ("tokens/s, of streams", f"{tally.tokens / options.seconds:.0f}"),
        ("TTFT at the client, median and p99", both(tally.ttft_s)),
        *(
            (f"scheduling delay, p{share * 100:.0f}, at most", delay(metrics, share))
            for share in (0.5, 0.99)
        ),
        ("memory of the server after 1/4, 2/4, 3/4, 4/4", quarters([m for m, _ in tally.memory])),
        ("memory of the engine, whose cache fills", quarters([m for _, m in tally.memory])),
        ("afterwards: running, waiting, KV tokens held", held(metrics)),
    ]
    width = max(len(name) for name, _ in rows)
    head = f"| {options.streams} clients, {options.seconds:.0f} s, `{options.model}` |"
    lines = [f"{head:{width + 3}} |", "|---|--:|", *(f"| {n} | {v} |" for n, v in rows)]
    return "\n".join([*lines, *(f"broken: {one}" for one in tally.broken[:5])])


def quarters(nbytes: Sequence[int]) -> str:
    """Write what was taken at the end of each quarter."""
    places = [max(len(nbytes) * quarter // 4 - 1, 0) for quarter in (1, 2, 3, 4)]
    return ", ".join(f"{nbytes[place] / 2**20:.0f}" for place in places) + " MiB"


def both(seconds: Sequence[float]) -> str:
    """Write the middle and the end of a list of times."""
    return f"{quantile(seconds, 0.5) * 1e3:.0f} and {quantile(seconds, 0.99) * 1e3:.0f} ms"


def delay(metrics: dict[str, float], share: float) -> str:
    """Write how long requests waited before their prompt began to be computed."""
    return f"{quantile_of(metrics, 'localfp4_queue_time_seconds', share) * 1e3:.0f} ms"


def held(metrics: dict[str, float]) -> str:
    """Write what a server without requests should have none of."""
    names = (
        "localfp4_requests_running",
        "localfp4_requests_waiting",
        "localfp4_kv_cache_used_tokens",
    )
    return ", ".join(f"{metrics[name]:.0f}" for name in names)


if __name__ == "__main__":
    main(sys.argv[1:])
