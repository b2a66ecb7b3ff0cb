"""What single runs bring to light becomes part of what is known of a series, once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from localfp4.bench.engines.contestant import Entrant, Loading
from localfp4.bench.events import Loaded
from localfp4.bench.records import About, Measured, Method, Series, Work
from localfp4.bench.running.run import run
from localfp4.bench.workload import Case

CASE = Case(1, 4, 2)


@dataclass
class Talkative:
    """A contestant that notes something in every run."""

    about: About = field(default_factory=lambda: About("1", notes=("known before",)))
    words: Iterator[tuple[str, ...]] = field(
        default_factory=lambda: iter([("a",), ("a", "b"), ("b",)])
    )

    def run(self, case: Case, seed: str) -> Measured:
        return Measured({"x": (0.1, 0.2)}, 4, notes=next(self.words))

    def work(self, case: Case) -> Work | None:
        return None

    def limits(self) -> None:
        return None

    def close(self) -> None:
        pass


def load(entrant: Entrant) -> Loading:
    yield from ()
    return Talkative()


def test_notes_are_added_to_what_was_loaded_as_they_come() -> None:
    entrant = Entrant(Series("m", "auto", "server"), "nowhere:load", {}, (CASE,))
    method = Method("", repeats=3, warmup=0, seed=0)
    events = list(run((entrant,), method, (CASE,), 0, load=load))
    told = [event.about.notes for event in events if isinstance(event, Loaded)]
    assert told == [("known before",), ("known before", "a"), ("known before", "a", "b")]
