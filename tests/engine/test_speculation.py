"""When drafting pays: a simulated engine with known step times and acceptance."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from localfp4.config import SamplingParams
from localfp4.engine.acceptance import expected_tokens
from localfp4.engine.sequence import Sequence
from localfp4.engine.speculation import DraftModel, Speculator
from localfp4.runner.graphs import padded

Cost = Callable[[int, int], float]
"""Seconds of a step by its rows and by the longest chain of drafts made in it."""


def sequence_of(tokens: list[int], name: str = "one") -> Sequence:
    return Sequence(
        id=name,
        tokens=tokens,
        prompt_len=1,
        max_len=10**6,
        sampling=SamplingParams(),
        stop_ids=frozenset(),
        seed=0,
    )


def gpu(rows: int, made: int) -> float:
    """A card whose decode step is bound by bandwidth: a row more costs 3%, a draft 8%."""
    return 0.010 * (1 + 0.03 * (rows - 1) + 0.08 * made)


def cpu(rows: int, made: int) -> float:
    """Every row takes its own time."""
    return 0.002 * (rows + 0.3 * made)


@dataclass
class Simulation:
    """B sequences whose drafts are right with some probability."""

    cost: Cost
    rate: float
    batch: int = 1
    model: DraftModel | None = "mtp"
    stream: random.Random = field(default_factory=lambda: random.Random(1))
    jitter: float = 0.02
    chosen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.speculator = Speculator(look_up=False, model=self.model)
        self.sequences = [sequence_of([0], f"s{n}") for n in range(self.batch)]
        self.seconds, self.tokens = 0.0, 0

    def run(self, steps: int) -> float:
        """Return tokens per second."""
        seconds, tokens = self.seconds, self.tokens
        for _ in range(steps):
            self._step()
        return (self.tokens - tokens) / (self.seconds - seconds)

    def _step(self) -> None:
        speculator = self.speculator
        speculator.begin(self.batch)
        drafts = [speculator.propose(one, 8) for one in self.sequences]
        made = [speculator.wanted(one) for one in self.sequences]
        rows = self.batch + sum(map(len, drafts))
        for one, guesses, wanted in zip(self.sequences, drafts, made, strict=True):
            accepted = 0
            while accepted < len(guesses) and self.stream.random() < self.rate:
                accepted += 1
            speculator.observe(one, len(guesses), accepted)
            one.tokens += [0] * (accepted + 1)
            one.proposed = (0,) * wanted
            self.tokens += accepted + 1
        seconds = self.cost(rows, max(made)) * self.stream.uniform(1 - self.jitter, 1 + self.jitter)
        speculator.measure(rows, seconds)
        self.seconds += seconds
        self.chosen.append(max(made))


def speed(cost: Cost, rate: float, batch: int, drafts: int) -> float:
    tokens = batch * (1 + expected_tokens(rate, drafts))
    return tokens / cost(batch * (1 + drafts), drafts)


def fastest(cost: Cost, rate: float, batch: int) -> float:
    return max(speed(cost, rate, batch, drafts) for drafts in range(5))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("cost", [gpu, cpu])
def test_close_to_the_best_number_of_drafts(cost: Cost, rate: float, batch: int) -> None:
    simulation = Simulation(cost, rate, batch)
    simulation.run(300)
    got = simulation.run(1000)
    assert got >= 0.94 * fastest(cost, rate, batch), simulation.chosen[-50:]


@pytest.mark.parametrize("model", ["mtp", "draft"])
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("cost", [gpu, cpu])
def test_hardly_slower_than_without_in_the_first_500_steps(
    cost: Cost, rate: float, batch: int, model: DraftModel
) -> None:
    simulation = Simulation(cost, rate, batch, model)
    assert simulation.run(500) >= 0.97 * speed(cost, rate, batch, 0)


def test_turns_on_again_when_it_pays() -> None:
    simulation = Simulation(gpu, 0.0)
    simulation.run(600)
    assert sum(simulation.chosen[-100:]) <= 8
    simulation.rate = 0.9
    simulation.run(1100)
    assert min(simulation.chosen[-50:]) >= 2
    simulation.cost = cpu
    simulation.run(800)
    assert sum(simulation.chosen[-50:]) <= 8


def test_one_slow_step_changes_nothing() -> None:
    simulation = Simulation(gpu, 0.8)
    simulation.run(100)
    usual, simulation.cost = simulation.chosen[-1], lambda rows, made: 50 * gpu(rows, made)
    simulation.run(1)
    simulation.cost = gpu
    simulation.run(2)
    assert simulation.chosen[-1] >= usual - 1 > 0


def copied_text(length: int, share: float, seed: int = 3) -> list[int]:
    """Return tokens of which a share stands in runs that were there before."""
    stream = random.Random(seed)
    tokens = [stream.randrange(5000) for _ in range(200)]
    while len(tokens) < length:
        if stream.random() < share:
            start = stream.randrange(len(tokens) - 40)
            tokens += tokens[start : start + 40]
        else:
            tokens += [stream.randrange(5000) for _ in range(40)]
    return tokens[:length]


def follow(text: list[int], cost: Cost, jitter: float = 0.02) -> tuple[float, Speculator]:
    """Generate a text that is known, and return the time without drafts over that with them."""
    speculator, stream = Speculator(look_up=True), random.Random(5)
    sequence, seconds = sequence_of(text[:200]), 0.0
    while len(sequence.tokens) < len(text):
        speculator.begin(1)
        drafts = speculator.propose(sequence, len(text) - len(sequence.tokens) - 1)
        done, accepted = len(sequence.tokens), 0
        while accepted < len(drafts) and drafts[accepted] == text[done + accepted]:
            accepted += 1
        sequence.tokens += text[done : done + accepted + 1]
        speculator.observe(sequence, len(drafts), accepted)
        taken = cost(1 + len(drafts), 0) * stream.uniform(1 - jitter, 1 + jitter)
        speculator.measure(1 + len(drafts), taken)
        seconds += taken
    return (len(text) - 200) * cost(1, 0) / seconds, speculator


def test_a_copied_text_comes_faster() -> None:
    faster, speculator = follow(copied_text(4000, share=0.9), gpu)
    assert faster > 3
    assert speculator.accepted > 0.7 * speculator.drafted > 1000
    assert follow(copied_text(4000, share=0.9), cpu)[0] > 0.97


def test_sizes_that_are_slow_once_are_tried_again() -> None:
    """A step of a new size is recorded as a CUDA graph, padded, before it can be repeated."""
    recorded = {1}

    def recording(rows: int, made: int) -> float:
        size = padded(rows)
        extra = 0.0 if size in recorded else 0.3
        recorded.add(size)
        return gpu(rows, made) + extra

    text = copied_text(4000, share=0.9)
    assert follow(text, recording)[0] > 0.8 * follow(text, gpu)[0]
    assert len(recorded) > 4


@pytest.mark.parametrize("cost", [gpu, cpu])
@pytest.mark.parametrize("words", [30, 300, 5000])
def test_chance_matches_cost_little(cost: Cost, words: int) -> None:
    """In random text of few words, two of them often come together again, and nothing follows."""
    stream = random.Random(words)
    text = [stream.randrange(words) for _ in range(1000)]
    assert follow(text, cost)[0] > 0.97


def test_waits_only_where_drafts_may_come() -> None:
    """A step that copies waits for its newest token; any other is launched ahead."""
    text = copied_text(3000, share=0.5)
    _, speculator = follow(text, gpu)
    fresh, copied = sequence_of([*range(6000, 6100)], "fresh"), sequence_of(text[:100] * 2, "copy")
    speculator.begin(1)
    assert not speculator.waits(fresh)
    assert speculator.waits(copied)
    speculator.begin(2)
    assert not speculator.waits(copied), "it is not known how long a step of two takes"
    speculator.begin(1)
    assert speculator.propose(copied, 3) == tuple(text[:3])
    assert speculator.propose(copied, 0) == speculator.propose(fresh, 8) == ()


def test_a_head_and_the_look_up_share_a_sequence() -> None:
    """Whichever promises more tokens is checked; what is known of one says nothing of the other."""
    _, speculator = follow(copied_text(2000, share=0.9), gpu)
    both = Speculator(look_up=True, model="mtp")
    both.__dict__.update(
        {
            name: value
            for name, value in vars(speculator).items()
            if name in ("_plain_costs", "_longest_measured", "_averages")
        }
    )
    both.begin(1)
    sequence = sequence_of([*range(100), *range(50)])
    wanted = both.wanted(sequence)
    assert wanted > 0
    sequence.proposed = (7,) * wanted
    both.begin(1)
    assert both.propose(sequence, 8)[:3] == (50, 51, 52)
    sequence.tokens.append(5000)
    both.begin(1)
    assert both.propose(sequence, 8) == (7,) * wanted


def test_does_not_search_the_sequences_of_a_crowd() -> None:
    _, speculator = follow(copied_text(3000, share=0.5), gpu)
    copied = sequence_of(copied_text(3000, share=0.5)[:100] * 2, "copy")
    speculator.begin(17)
    assert not speculator.waits(copied)
    assert speculator.propose(copied, 3) == ()
    speculator.begin(1)
    assert speculator.propose(copied, 3)


def test_forgets_sequences_that_have_ended() -> None:
    speculator = Speculator(look_up=True)
    sequence = sequence_of([1, 2, 3])
    speculator.begin(1)
    speculator.propose(sequence, 4)
    speculator.forget(sequence)
    speculator.forget(sequence)
    assert not speculator._guesses


def test_planning_takes_microseconds() -> None:
    """About 10 us a step on a slow core; the limit leaves room for busy machines."""
    text = copied_text(6000, share=0.8)
    begun = time.perf_counter()
    _, speculator = follow(text, gpu)
    assert speculator.drafted > 1000
    assert (time.perf_counter() - begun) / len(text) < 200e-6
