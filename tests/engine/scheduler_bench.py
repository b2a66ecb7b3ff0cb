"""A scheduler driven by a runner that only remembers which tokens each page and slot holds."""

import random
from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass, field

import pytest

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.engine.blocks import RELEASED
from localfp4.engine.pools import PagePools
from localfp4.engine.scheduled import Scheduled
from localfp4.engine.scheduler import Scheduler
from localfp4.engine.sequence import Sequence
from localfp4.engine.speculation import MOST_DRAFTS, Speculator
from localfp4.engine.state_slots import StateSlots
from localfp4.runner.work import Collect


def sequence(
    name: str,
    prompt: list[int],
    answer: int,
    collect: Collect = Collect.NOTHING,
    *,
    background: bool = False,
    client: str = "",
) -> Sequence:
    return Sequence(
        id=name,
        tokens=list(prompt),
        prompt_len=len(prompt),
        max_len=len(prompt) + answer,
        sampling=SamplingParams(),
        stop_ids=frozenset(),
        seed=0,
        collect=collect,
        background=background,
        client=client,
    )


def prompt(length: int, mark: int = 0) -> list[int]:
    return [mark, *range(100, 99 + length)]


def next_token(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % 50


def alone(prompt: list[int], answer: int) -> list[int]:
    """The tokens that follow ``prompt``, without any engine."""
    tokens = list(prompt)
    for _ in range(answer):
        tokens.append(next_token(tokens))
    return tokens


class Guesser(Speculator):
    """Proposes the tokens that follow, up to a mistake now and then."""

    def __init__(self, longest: int = 4, right: float = 0.7, seed: int = 0) -> None:
        super().__init__(look_up=False)
        self._longest = longest
        self._right = right
        self._stream = random.Random(seed)

    def waits(self, sequence: Sequence) -> bool:
        return True

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        assert room >= 0
        tokens = list(sequence.tokens)
        for _ in range(min(room, self._stream.randint(0, self._longest))):
            is_right = self._stream.random() < self._right
            tokens.append(next_token(tokens) if is_right else 1000)
        return tuple(tokens[len(sequence.tokens) :])

    def observe(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        assert 0 <= accepted <= drafted
        self.drafted += drafted
        self.accepted += accepted


@dataclass
class Launched:
    """A batch, the tokens that were chosen for it, and what it has written where."""

    batch: list[Scheduled]
    chosen: list[list[int]]
    cells: list[tuple[int, int, int]]
    slots: list[int | None]


@dataclass
class Bench:
    """A scheduler with a fake runner, whose token depends on every token before it.

    The runner writes the tokens it is given into pages and reads all that a group sees back from
    them, so that any wrong page, order or start is noticed. With slots it also keeps the tokens
    that each state has taken in. Steps run when they are launched, as on a device whose work is
    queued; with ``ahead`` their tokens are handed out a step later.
    """

    pages: int | Items[int]
    max_batch: int = 8
    max_step_tokens: int = 256
    slots: int = 0
    ahead: bool = False
    windows: Items[int | None] = (None,)
    speculator: Speculator | None = None
    live: list[Sequence] = field(default_factory=list)
    steps: list[list[Scheduled]] = field(default_factory=list)
    launched: deque["Launched"] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.states = StateSlots(self.slots) if self.slots else None
        sizes = [self.pages] * len(self.windows) if isinstance(self.pages, int) else self.pages
        self.pools = PagePools(sizes, self.windows, states=self.states)
        self.scheduler = Scheduler(
            self.pools,
            max_batch=self.max_batch,
            max_step_tokens=self.max_step_tokens,
            states=self.states,
            speculator=self.speculator,
        )
        self.cache: dict[tuple[int, int, int], int] = {}
        self.taken_in: dict[int | None, list[int]] = {}
        self.latest: list[int] = []
        self.snapshots: list[int] = []

    @property
    def in_use(self) -> int:
        return sum(table.in_use for table in self.pools.tables)

    def add(self, one: Sequence) -> Sequence:
        self.live.append(one)
        self.scheduler.add(one)
        return one

    def drop(self, one: Sequence) -> None:
        self.live.remove(one)
        if one.finished is None:
            one.finished = "cancelled"
        self.scheduler.remove(one)

    def step(self) -> list[Scheduled]:
        waiting_for_tokens = bool(self.launched)
        if self.launched and not self.scheduler.may_run_ahead():
            self.deliver()
        batch = self.scheduler.schedule()
        if batch:
            self.steps.append(batch)
            self.launch(batch)
        else:
            assert waiting_for_tokens, "there is work, and nothing was chosen"
        self.deliver(but=1 if self.ahead and batch else 0)
        self.check()
        return batch

    def launch(self, batch: list[Scheduled]) -> None:
        self._check_rules(batch)
        self.launched.append(self.run(batch))
        self.scheduler.commit(batch)

    def deliver(self, but: int = 0) -> None:
        while len(self.launched) > but:
            launched = self.launched.popleft()
            for item, tokens in zip(launched.batch, launched.chosen, strict=True):
                one, gained = item.sequence, 0
                for token in [] if one.finished else tokens:
                    one.append(token)
                    gained += 1
                    if one.finished:
                        break
                if item.completes and one.collect is not Collect.NOTHING:
                    one.finished = one.finished or "length"
                self.scheduler.settle(item, gained)
                if one.finished and one in self.live:
                    self.drop(one)

    def abandon(self, batch: list[Scheduled]) -> None:
        """Fail, with everything that is in flight and a batch that was not launched."""
        shares = [share for step in self.launched for share in step.batch] + batch
        for step in self.launched:
            self.cache |= dict.fromkeys(step.cells, -1)
            self.taken_in |= {slot: [-1] for slot in step.slots}
        self.launched.clear()
        self.scheduler.abandon(shares)
        self.check()

    def check(self) -> None:
        self.pools.check(self.live)
        if self.states is not None:
            held = [one.slot for one in self.live]
            for step in self.launched:
                for share in step.batch:
                    held += (share.spare, share.snapshot)
            self.states.check([slot for slot in held if slot is not None])

    def drain(self, limit: int = 5000) -> None:
        for _ in range(limit):
            if not self.scheduler.has_work:
                return
            self.step()
        pytest.fail("the queue stands still")

    def _check_rules(self, batch: list[Scheduled]) -> None:
        assert sum(item.rows for item in batch) <= self.max_step_tokens
        assert len({item.sequence.id for item in batch}) == len(batch)
        assert len(self.scheduler.running) <= self.max_batch
        rows = sum(1 + len(item.drafts) for item in batch if item.is_decode)
        assert rows <= max(self.max_batch, 1 + MOST_DRAFTS), "memory is planned for so many"
        background = [one.background for one in self.scheduler.running]
        assert background == sorted(background), "those that give way first are last"
        kinds = [item.is_decode for item in batch]
        assert kinds == sorted(kinds, reverse=True), "decoding sequences come first"
        for item in batch:
            one = item.sequence
            assert item.start == one.computed < item.end <= one.max_len
            assert item.end + len(item.drafts) < one.max_len or not item.draws
            assert all(item.end + len(item.drafts) <= len(p) * PAGE_SIZE for p in one.pages)
            assert (item.follows is not None) == (item.end > len(one.tokens))
            assert item.follows is None or (item.rows == 1 and not item.drafts)

    def run(self, batch: list[Scheduled]) -> Launched:
        """Do what the runner would for a step."""
        self.cells: list[tuple[int, int, int]] = []
        for item in batch:
            work = item.work()
            if work.restore is not None:
                self.taken_in[work.slot] = list(self.taken_in[work.restore])
        chosen = [self._run(item) for item in batch]
        self.latest = [token for item in chosen for token in item[1]]
        for item in batch:
            if item.snapshot is not None:
                self.snapshots.append(item.end)
                self.taken_in[item.snapshot] = list(self.taken_in[item.work().slot])
        slots = [slot for item in batch for slot in (item.work().slot, item.snapshot)]
        return Launched(batch, [accepted for accepted, _ in chosen], self.cells, slots)

    def _run(self, item: Scheduled) -> tuple[list[int], list[int]]:
        """Return the tokens that are accepted, and all that are drawn."""
        work, tokens = item.work(), list(item.sequence.tokens)
        if item.follows is not None:
            assert len(tokens) == item.end - 1
            tokens.append(self.latest[item.follows])
        tokens = [*tokens[: item.end], *item.drafts]
        for group, window in enumerate(self.windows):
            self._attend(item, group, window, tokens)
        if self.slots:
            before = self.taken_in[work.slot] if item.start else []
            state = [*before, *tokens[item.start :]]
            assert state == tokens, "the state does not hold what the sequence is"
            self.taken_in[work.slot] = state
        if work.draw is None:
            return [], []
        drawn = [next_token(tokens[: n + 1]) for n in range(item.end - 1, len(tokens))]
        right = 0
        while right < len(item.drafts) and item.drafts[right] == drawn[right]:
            right += 1
        return drawn[: right + 1], drawn

    def _attend(self, item: Scheduled, group: int, window: int | None, tokens: list[int]) -> None:
        pages = item.sequence.pages[group]
        for place in range(item.start, len(tokens)):
            page = pages[place // PAGE_SIZE]
            assert page != RELEASED
            self.cache[group, page, place % PAGE_SIZE] = tokens[place]
            self.cells.append((group, page, place % PAGE_SIZE))
        first = 0 if window is None else max(item.start - window + 1, 0)
        seen = [
            self.cache[group, pages[p // PAGE_SIZE], p % PAGE_SIZE]
            for p in range(first, len(tokens))
        ]
        assert seen == tokens[first:], "the cache does not hold what the sequence is"
