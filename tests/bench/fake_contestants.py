"""Torch-free contestants whose moods are chosen by settings, and a diary of what they were asked.

Imported by name inside worker processes, too, so it stands alone.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localfp4.bench.engines.contestant import (
    CaseFailedError,
    ContestantGoneError,
    Entrant,
    Loading,
)
from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Measured, Series, Work
from localfp4.bench.workload import Case
from localfp4.errors import ContextError, ModelNotFoundError, UserError
from localfp4.messages import LoadProgress

SMALL, LARGE = Case(1, 4, 20), Case(2, 4, 3)


def series(name: str) -> Series:
    return Series("m", name)


def entrant(name: str, needed: int | None = 1, **moods: str) -> Entrant:
    """Return an entrant whose moods go by the batch of a case, such as ``batch2="fails"``."""
    return Entrant(
        series(name),
        "fake_contestants:load",
        {"name": name, "moods": moods},
        (SMALL, LARGE),
        needed,
    )


@dataclass
class Fake:
    """Answers every case with a token a second.

    A mood is ``fails``, ``dies`` or ``fails in repeat 2``, and in a process of its own ``exits``,
    ``is killed``, ``hangs``, ``breaks``, ``loses its connection``, ``prints`` or ``forks, and
    exits``.
    """

    name: str
    moods: Mapping[str, str]
    diary: list[str] = field(default_factory=list)

    @property
    def about(self) -> About:
        return About("1.0", device="cpu", weight_format=self.name, notes=(f"pid {os.getpid()}",))

    def run(self, case: Case, seed: str) -> Measured:
        self.diary.append(f"{self.name} b{case.batch} n{case.output_tokens} {seed.split()[-1]}")
        mood = self.moods.get(f"batch{case.batch}", "")
        if mood == "fails" or (
            mood.startswith("fails in") and mood.split()[-1] == seed.split()[-1]
        ):
            raise CaseFailedError("It did not work.")
        if mood == "dies":
            raise ContestantGoneError("It died.")
        _act(mood, self.moods.get("to", ""))
        moments = [float(second) for second in range(1, case.output_tokens + 1)]
        arrivals = {f"{seed} {number}": moments for number in range(case.batch)}
        return Measured(arrivals, case.batch * case.input_tokens, 10, 20, 30.0)

    def work(self, case: Case) -> Work:
        return Work(1, 2, "float32", 3, 4, "float32")

    def limits(self) -> Limits:
        self.diary.append(f"{self.name} limits")
        if "limits" in self.moods:
            raise UserError("The GPU's memory is too full.")
        return Limits(float(len(self.diary)))

    def close(self) -> None:
        self.diary.append(f"{self.name} closed")


def _act(mood: str, to: str) -> None:
    match mood:
        case "exits":
            os._exit(7)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            time.sleep(60)
        case "breaks":
            raise RuntimeError("boom\nsecond line")
        case "loses its connection":
            raise ConnectionResetError("reset by peer")
        case "forks, and exits":
            if child := os.fork():
                Path(to).write_text(str(child), encoding="utf-8")
                os._exit(7)
            time.sleep(60)
        case "prints":
            os.write(1, b"chatter on standard output\n")


def load(name: str, moods: Mapping[str, str], diary: list[str] | None = None) -> Loading:
    if "to" in moods:
        Path(moods["to"]).write_text(str(os.getpid()), encoding="utf-8")
    yield LoadProgress("reading weights", 1, 2)
    match moods.get("loading"):
        case "missing":
            raise CaseFailedError("The library is not installed.", "missing")
        case "unknown":
            raise ModelNotFoundError("There is no such model.\n→ try another")
        case "too large":
            raise ContextError("m needs 20.0 GiB; 15.0 GiB free of 16.0\n  weights 19.0")
        case "exits":
            os._exit(3)
        case "breaks":
            raise RuntimeError("boom")
        case "endless":
            while True:
                time.sleep(0.01)
                yield LoadProgress("reading weights", 1, 2)
    contestant = Fake(name, moods)
    if diary is not None:
        contestant.diary = diary
        diary.append(f"{name} loaded")
    return contestant
