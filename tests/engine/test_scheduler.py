"""The scheduler, driven by a runner that only remembers which tokens each page holds."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.engine.blocks import PageTable
from localfp4.engine.scheduler import SNAPSHOT_INTERVAL, Scheduled, Scheduler
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from localfp4.runner.work import Collect


def sequence(
    name: str, prompt: list[int], answer: int, collect: Collect = Collect.NOTHING
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
    )


def next_token(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % 50


def alone(prompt: list[int], answer: int) -> list[int]:
    """The tokens that follow ``prompt``, without any engine."""
    tokens = list(prompt)
    for _ in range(answer):
        tokens.append(next_token(tokens))
    return tokens


@dataclass
class Bench:
    """A scheduler with a fake runner, whose token depends on every token before it.

    The runner writes the tokens it is given into pages and reads the whole context back from
    them, so that any wrong page, order or start changes what comes out. With slots it also keeps
    the tokens that each state has taken in.
    """

    pages: int
    max_batch: int = 8
    max_step_tokens: int = 256
    slots: int = 0
    live: list[Sequence] = field(default_factory=list)
    steps: list[list[Scheduled]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = StateSlots(self.slots) if self.slots else None
        self.table = PageTable(self.pages, states=self.states)
        self.scheduler = Scheduler(
            self.table,
            max_batch=self.max_batch,
            max_step_tokens=self.max_step_tokens,
            states=self.states,
        )
        self.cache: dict[tuple[int, int], int] = {}
        self.taken_in: dict[int | None, list[int]] = {}

    def add(self, one: Sequence) -> Sequence:
        self.live.append(one)
        self.scheduler.add(one)
        return one

    def drop(self, one: Sequence) -> None:
        self.live.remove(one)
        self.scheduler.remove(one)

    def step(self) -> list[Scheduled]:
        batch = self.scheduler.schedule()
        self.steps.append(batch)
        self._check_rules(batch)
        chosen = self._run_all(batch)
        self.scheduler.commit(batch)
        for item, token in zip(batch, chosen, strict=True):
            if token is None:
                continue
            item.sequence.append(token)
            if item.sequence.finished:
                self.drop(item.sequence)
        self.check()
        return batch

    def check(self) -> None:
        self.table.check([one.pages for one in self.live])
        if self.states is not None:
            self.states.check([one.slot for one in self.live if one.slot is not None])

    def drain(self, limit: int = 5000) -> None:
        for _ in range(limit):
            if not self.scheduler.has_work:
                return
            self.step()
        pytest.fail("the queue stands still")

    def _check_rules(self, batch: list[Scheduled]) -> None:
        assert batch, "there is work, and nothing was chosen"
        assert sum(item.end - item.start for item in batch) <= self.max_step_tokens
        assert len({item.sequence.id for item in batch}) == len(batch)
        assert len(self.scheduler.running) <= self.max_batch
        kinds = [item.is_decode for item in batch]
        assert kinds == sorted(kinds, reverse=True), "decoding sequences come first"
        for item in batch:
            assert item.start == item.sequence.computed < item.end
            assert item.end <= len(item.sequence.pages) * PAGE_SIZE

    def _run_all(self, batch: list[Scheduled]) -> list[int | None]:
        for item in batch:
            if item.restore is not None:
                self.taken_in[item.sequence.slot] = list(self.taken_in[item.restore])
        chosen = [self._run(item) for item in batch]
        for item in batch:
            if item.snapshot is not None:
                self.taken_in[item.snapshot] = list(self.taken_in[item.sequence.slot])
        return chosen

    def _run(self, item: Scheduled) -> int | None:
        pages, tokens = item.sequence.pages, item.sequence.tokens
        for place in range(item.start, item.end):
            self.cache[pages[place // PAGE_SIZE], place % PAGE_SIZE] = tokens[place]
        seen = [self.cache[pages[p // PAGE_SIZE], p % PAGE_SIZE] for p in range(item.end)]
        assert seen == tokens[: item.end], "the cache does not hold what the sequence is"
        if self.slots:
            before = self.taken_in[item.sequence.slot] if item.start else []
            state = [*before, *tokens[item.start : item.end]]
            assert state == tokens[: item.end], "the state does not hold what the sequence is"
            self.taken_in[item.sequence.slot] = state
        return next_token(seen) if item.completes else None


def prompt(length: int, mark: int = 0) -> list[int]:
    return [mark, *range(100, 99 + length)]


def test_a_prompt_is_prefilled_whole_and_then_decoded_token_by_token() -> None:
    bench = Bench(pages=4)
    one = bench.add(sequence("a", prompt(100), 5))
    bench.drain()
    assert one.tokens == alone(prompt(100), 5)
    assert one.finished == "length"
    shares = [(item.start, item.end, item.is_decode) for [item] in bench.steps]
    assert shares == [(0, 100, False), *((100 + n, 101 + n, True) for n in range(4))]


@pytest.mark.parametrize("chunk", [1, 7, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 1000])
def test_chunks_are_as_large_as_the_budget(chunk: int) -> None:
    bench = Bench(pages=4, max_step_tokens=chunk)
    one = bench.add(sequence("a", prompt(200), 3))
    bench.drain()
    assert one.tokens == alone(prompt(200), 3)
    sizes = [item.end - item.start for [item] in bench.steps if not item.is_decode]
    assert sizes == [min(chunk, 200 - done) for done in range(0, 200, chunk)]


def test_decoding_goes_before_prompts() -> None:
    bench = Bench(pages=16, max_step_tokens=70)
    bench.add(sequence("a", prompt(60, 1), 10))
    bench.step()
    bench.add(sequence("b", prompt(100, 2), 10))
    batch = bench.step()
    assert [(i.sequence.id, i.end - i.start, i.is_decode) for i in batch] == [
        ("a", 1, True),
        ("b", 69, False),
    ]


def test_a_prompt_that_is_nearly_done_leaves_the_rest_of_the_budget_to_the_next() -> None:
    bench = Bench(pages=16, max_step_tokens=100)
    bench.add(sequence("a", prompt(130, 1), 10))
    bench.add(sequence("b", prompt(200, 2), 10))
    assert [(i.sequence.id, i.end) for i in bench.step()] == [("a", 100)]
    assert [(i.sequence.id, i.end) for i in bench.step()] == [("a", 130), ("b", 70)]


def test_no_more_than_max_batch_run() -> None:
    bench = Bench(pages=64, max_batch=3)
    for name in "abcde":
        bench.add(sequence(name, prompt(10, ord(name)), 4))
    bench.step()
    assert [s.id for s in bench.scheduler.running] == ["a", "b", "c"]
    assert [s.id for s in bench.scheduler.waiting] == ["d", "e"]
    bench.drain()


def test_first_come_first_served() -> None:
    bench = Bench(pages=6, max_batch=8)
    ended: list[str] = []
    for name in "abcdefgh":
        bench.add(sequence(name, prompt(100, ord(name)), 10))
    while bench.live:
        before = [one.id for one in bench.live]
        bench.step()
        after = {one.id for one in bench.live}
        ended += [name for name in before if name not in after]
    assert ended == list("abcdefgh")


def test_a_large_prompt_at_the_head_is_not_overtaken() -> None:
    bench = Bench(pages=4)
    bench.add(sequence("running", prompt(2 * PAGE_SIZE, 1), 8))
    bench.step()
    bench.add(sequence("large", prompt(3 * PAGE_SIZE, 2), 2))
    bench.add(sequence("small", prompt(3, 3), 2))
    bench.step()
    assert [one.id for one in bench.scheduler.running] == ["running"]
    bench.drain()


def test_the_youngest_gives_way_and_continues_with_the_same_tokens() -> None:
    bench = Bench(pages=3)
    old = bench.add(sequence("old", prompt(PAGE_SIZE - 2, 1), 80))
    young = bench.add(sequence("young", prompt(PAGE_SIZE - 2, 2), 80))
    waited = False
    while bench.live:
        bench.step()
        if young in bench.scheduler.waiting:
            waited = True
            assert young.pages == []
            assert old in bench.scheduler.running or old.finished
    assert waited
    assert old.tokens == alone(prompt(PAGE_SIZE - 2, 1), 80)
    assert young.tokens == alone(prompt(PAGE_SIZE - 2, 2), 80)


def test_a_preempted_sequence_keeps_its_place_before_those_that_came_later() -> None:
    bench = Bench(pages=3)
    for n, name in enumerate(("old", "young", "later")):
        bench.add(sequence(name, prompt(PAGE_SIZE - 2 + n // 2 * PAGE_SIZE, n), 60))
    bench.step()
    assert [one.id for one in bench.scheduler.waiting] == ["later"]
    while len(bench.scheduler.waiting) == 1:
        bench.step()
    assert [one.id for one in bench.scheduler.waiting] == ["young", "later"]
    bench.drain()


def test_a_decoding_sequence_gives_way_to_an_older_prompt() -> None:
    bench = Bench(pages=5, max_step_tokens=PAGE_SIZE)
    old = bench.add(sequence("old", prompt(4 * PAGE_SIZE, 1), 3))
    bench.step()
    young = sequence("young", prompt(10, 2), 3 * PAGE_SIZE)
    bench.scheduler.waiting.append(young)
    bench.live.append(young)
    bench.drain()
    assert old.tokens == alone(prompt(4 * PAGE_SIZE, 1), 3)
    assert young.tokens == alone(prompt(10, 2), 3 * PAGE_SIZE)


@pytest.mark.parametrize("length", [PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE])
def test_a_pool_that_holds_just_one_sequence_does_not_stand_still(length: int) -> None:
    answer = 3 * PAGE_SIZE - length + 1  # the last token is never computed
    bench = Bench(pages=3)
    everyone = [bench.add(sequence(str(n), prompt(length, n), answer)) for n in range(4)]
    bench.drain()
    for n, one in enumerate(everyone):
        assert one.tokens == alone(prompt(length, n), answer)
    assert bench.table.in_use == 0


def test_a_budget_smaller_than_the_batch_serves_everyone_in_the_end() -> None:
    bench = Bench(pages=16, max_step_tokens=2)
    everyone = [bench.add(sequence(str(n), prompt(5, n), 6)) for n in range(6)]
    bench.drain()
    assert [one.tokens for one in everyone] == [alone(prompt(5, n), 6) for n in range(6)]


def test_a_shared_beginning_is_computed_once() -> None:
    bench = Bench(pages=16)
    shared = prompt(3 * PAGE_SIZE)
    first = bench.add(sequence("a", [*shared, 1], 2))
    bench.drain()
    second = bench.add(sequence("b", [*shared, 2], 2))
    third = bench.add(sequence("c", shared, 2))
    bench.drain()
    assert (first.cached, second.cached, third.cached) == (0, 3 * PAGE_SIZE, 2 * PAGE_SIZE)
    assert second.tokens == alone([*shared, 2], 2)
    assert third.tokens == alone(shared, 2)


def test_what_a_sequence_computed_itself_does_not_count_as_cached() -> None:
    bench = Bench(pages=4, max_step_tokens=40)
    bench.add(sequence("old", prompt(PAGE_SIZE - 4, 1), 20))
    young = bench.add(sequence("young", prompt(3 * PAGE_SIZE, 2), 2))
    bench.drain()
    starts = [i.start for step in bench.steps for i in step if i.sequence is young]
    assert starts.count(0) == 1
    assert starts != sorted(set(starts)), "it was preempted and went back to its cached pages"
    assert young.cached == 0


def test_a_sequence_that_is_only_waiting_has_nothing_cached() -> None:
    bench = Bench(pages=3)
    shared = prompt(PAGE_SIZE)
    bench.add(sequence("a", [*shared, 1], 60))
    bench.step()
    waiting = bench.add(sequence("b", [*shared, *range(3 * PAGE_SIZE - 80)], 2))
    bench.step()
    assert waiting in bench.scheduler.waiting
    assert waiting.cached is None
    assert waiting.pages == []
    bench.drain()
    assert waiting.cached == PAGE_SIZE


def test_a_collected_sequence_computes_every_position() -> None:
    bench = Bench(pages=8)
    shared = prompt(2 * PAGE_SIZE + 1)
    bench.add(sequence("a", shared, 2))
    bench.drain()
    bench.add(sequence("b", shared, 1, Collect.LOGITS))
    [item] = bench.step()
    assert (item.start, item.end) == (0, len(shared))


def test_removing_frees_the_pages_wherever_the_sequence_is() -> None:
    bench = Bench(pages=4, max_step_tokens=PAGE_SIZE)
    decoding = bench.add(sequence("decoding", prompt(20, 1), 20))
    bench.step()
    prefilling = bench.add(sequence("prefilling", prompt(3 * PAGE_SIZE, 2), 20))
    waiting = bench.add(sequence("waiting", prompt(3 * PAGE_SIZE, 3), 20))
    bench.step()
    assert prefilling.computed == PAGE_SIZE - 1
    assert waiting in bench.scheduler.waiting
    for one in (waiting, prefilling, decoding):
        bench.drop(one)
        bench.table.check([left.pages for left in bench.live])
    assert not bench.scheduler.has_work
    assert bench.table.in_use == 0


TRAFFIC = st.lists(
    st.tuples(
        st.integers(1, 3 * PAGE_SIZE),  # prompt
        st.integers(1, PAGE_SIZE + 2),  # answer
        st.integers(0, 2),  # which of three beginnings
        st.integers(0, 20),  # steps before it comes
        st.none() | st.integers(0, 60),  # steps until it is cancelled
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(
    traffic=TRAFFIC,
    pages=st.integers(5, 12),
    max_batch=st.integers(1, 6),
    max_step_tokens=st.integers(1, 200),
    slots=st.integers(0, 5),
)
def test_random_traffic_ends_with_the_right_tokens_and_exact_pages(
    traffic: list[tuple[int, int, int, int, int | None]],
    pages: int,
    max_batch: int,
    max_step_tokens: int,
    slots: int,
) -> None:
    bench = Bench(pages, max_batch, max_step_tokens, slots)
    due = [
        (start, n, sequence(str(n), prompt(length, mark), answer))
        for n, (length, answer, mark, start, _) in enumerate(traffic)
    ]
    ends = {
        n: start + cancel for n, (*_, start, cancel) in enumerate(traffic) if cancel is not None
    }
    clock = 0
    while bench.live or any(start >= clock for start, *_ in due):
        for start, n, one in due:
            if start == clock:
                bench.add(one)
            if ends.get(n) == clock and one in bench.live:
                bench.drop(one)
        if bench.live:
            bench.step()
        clock += 1
        assert clock < 20_000, "the queue stands still"
    for _, n, one in due:
        length, answer, mark, _, cancel = traffic[n]
        expected = alone(prompt(length, mark), answer)
        assert one.tokens == (expected if one.finished else expected[: len(one.tokens)])
        assert one.finished or cancel is not None
    assert bench.table.in_use == 0
    bench.check()


def test_prefill_pauses_where_snapshots_are_taken() -> None:
    bench = Bench(pages=80, max_step_tokens=3000, slots=8)
    length = 2 * SNAPSHOT_INTERVAL + 2 * PAGE_SIZE + 10
    bench.add(sequence("a", prompt(length), 2))
    bench.drain()
    ends = [(item.end, item.snapshot is not None) for [item] in bench.steps]
    assert ends == [
        (SNAPSHOT_INTERVAL, True),
        (2 * SNAPSHOT_INTERVAL, True),
        (length - 10, True),
        (length, False),
        (length + 1, False),
    ]


@pytest.mark.parametrize(
    ("length", "reused"),
    [(1, 0), (PAGE_SIZE, 0), (PAGE_SIZE + 1, 1), (3 * PAGE_SIZE, 2), (3 * PAGE_SIZE + 5, 3)],
)
def test_the_same_prompt_goes_on_from_its_last_full_page(length: int, reused: int) -> None:
    bench = Bench(pages=16, slots=3)
    for name in "ab":
        again = bench.add(sequence(name, prompt(length), 3))
        bench.drain()
    assert again.cached == reused * PAGE_SIZE
    assert again.tokens == alone(prompt(length), 3)


def test_the_next_turn_goes_on_from_the_answer() -> None:
    bench = Bench(pages=16, slots=4)
    first = bench.add(sequence("a", prompt(PAGE_SIZE + 20), 3 * PAGE_SIZE))
    bench.drain()
    assert bench.states is not None
    assert len(bench.states.pages) == 2, "the end of the prompt, and the latest of the answer"
    second = bench.add(sequence("b", [*first.tokens, 7, 7, 7], 2))
    bench.drain()
    assert second.cached == 4 * PAGE_SIZE
    # Without the answer, as templates leave thinking out.
    third = bench.add(sequence("c", [*prompt(PAGE_SIZE + 20), 7, 7, 7], 2))
    bench.drain()
    assert third.cached == PAGE_SIZE


def test_a_running_sequence_goes_before_snapshots() -> None:
    bench = Bench(pages=32, slots=3)
    for mark in range(3):
        bench.add(sequence(f"old {mark}", prompt(PAGE_SIZE + 1, mark), 1))
        bench.drain()
    assert bench.states is not None
    assert len(bench.states.pages) == 2
    for mark in range(3):
        bench.add(sequence(f"new {mark}", prompt(20, mark), 3))
    bench.step()
    assert len(bench.scheduler.running) == 3
    assert not bench.states.pages
    bench.drain()


def test_more_sequences_than_slots_wait() -> None:
    bench = Bench(pages=16, slots=2)
    everyone = [bench.add(sequence(name, prompt(10, ord(name)), 4)) for name in "abc"]
    bench.step()
    assert [one.id for one in bench.scheduler.running] == ["a", "b"]
    bench.drain()
    assert [one.tokens for one in everyone] == [alone(prompt(10, ord(name)), 4) for name in "abc"]


def test_a_preempted_sequence_goes_on_from_its_snapshot() -> None:
    bench = Bench(pages=6, slots=6)
    old = bench.add(sequence("old", prompt(PAGE_SIZE, 1), 3 * PAGE_SIZE))
    young = bench.add(sequence("young", prompt(100, 2), 100))
    bench.drain()
    assert old.tokens == alone(prompt(PAGE_SIZE, 1), 3 * PAGE_SIZE)
    assert young.tokens == alone(prompt(100, 2), 100)
    restored = [i for step in bench.steps for i in step if i.restore is not None]
    assert [(i.sequence.id, i.start, i.is_decode) for i in restored] == [
        ("young", PAGE_SIZE, False)
    ]


def test_a_failed_step_starts_its_sequences_over() -> None:
    bench = Bench(pages=16, slots=4, max_step_tokens=100)
    one = bench.add(sequence("a", prompt(PAGE_SIZE + 30), 5))
    bench.step()
    batch = bench.scheduler.schedule()
    bench.taken_in[one.slot] = [-1]
    bench.scheduler.abandon(batch)
    bench.check()
    assert (one.slot, one.pages) == (None, [])
    bench.drain()
    assert one.tokens == alone(prompt(PAGE_SIZE + 30), 5)


def test_states_are_restored_among_the_prompts() -> None:
    """Their slots may be each other's sources, so that the order of copies matters."""
    bench = Bench(pages=16, slots=4)
    one = bench.add(sequence("a", prompt(PAGE_SIZE), 2 * PAGE_SIZE))
    while one.computed < 2 * PAGE_SIZE:
        bench.step()
    bench.scheduler.abandon(bench.scheduler.schedule())
    assert one.output_len == PAGE_SIZE + 1
    [item] = bench.step()
    assert (item.start, item.end) == (2 * PAGE_SIZE, 2 * PAGE_SIZE + 1)
    assert item.restore is not None
    assert not item.is_decode


def test_a_lost_token_is_not_taken_in_twice() -> None:
    bench = Bench(pages=16, slots=4)
    one = bench.add(sequence("a", prompt(30), 5))
    bench.step()
    batch = bench.scheduler.schedule()
    bench._run_all(batch)
    bench.scheduler.commit(batch)  # and the interruption comes before the token is delivered
    bench.drain()
    assert one.tokens == alone(prompt(30), 5)


def test_collected_sequences_leave_no_snapshots() -> None:
    bench = Bench(pages=16, slots=4)
    bench.add(sequence("a", prompt(3 * PAGE_SIZE), 1, Collect.LOGITS))
    [item] = bench.step()
    assert (item.end, item.snapshot) == (3 * PAGE_SIZE, None)
