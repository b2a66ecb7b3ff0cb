"""The scheduler, driven by a runner that only remembers which tokens each page holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import PAGE_SIZE
from localfp4.engine.snapshots import SNAPSHOT_INTERVAL
from localfp4.runner.work import Collect
from tests.engine.scheduler_bench import Bench, Guesser, alone, prompt, sequence


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
    bench.scheduler.waiting.add(young)
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
    assert bench.in_use == 0


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
        bench.check()
    assert not bench.scheduler.has_work
    assert bench.in_use == 0


TRAFFIC = st.lists(
    st.tuples(
        st.integers(1, 3 * PAGE_SIZE),  # prompt
        st.integers(1, PAGE_SIZE + 2),  # answer
        st.integers(0, 2),  # which of three beginnings
        st.integers(0, 20),  # steps before it comes
        st.none() | st.integers(0, 60),  # steps until it is cancelled
        st.booleans(),  # whether it is a background one
        st.sampled_from("ab"),  # client
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
    ahead=st.booleans(),
    windows=st.sampled_from(((None,), (None, 1), (None, 64), (None, 30, 100))),
    guesses=st.none() | st.sampled_from((0.0, 0.6, 1.0)),
    failing=st.sets(st.integers(0, 60), max_size=3),
)
def test_random_traffic_ends_with_the_right_tokens_and_exact_pages(
    traffic: list[tuple[int, int, int, int, int | None, bool, str]],
    pages: int,
    max_batch: int,
    max_step_tokens: int,
    slots: int,
    ahead: bool,
    windows: tuple[int | None, ...],
    guesses: float | None,
    failing: set[int],
) -> None:
    speculator = None if guesses is None else Guesser(right=guesses)
    sizes = (pages, *range(3, 2 + len(windows)))
    bench = Bench(sizes, max_batch, max_step_tokens, slots, ahead, windows, speculator)
    due = [
        (start, n, sequence(str(n), prompt(length, mark), answer, background=idle, client=who))
        for n, (length, answer, mark, start, _, idle, who) in enumerate(traffic)
    ]
    ends = {
        n: start + cancel
        for n, (_, _, _, start, cancel, _, _) in enumerate(traffic)
        if cancel is not None
    }
    clock = 0
    while bench.live or any(start >= clock for start, *_ in due):
        for start, n, one in due:
            if start == clock:
                bench.add(one)
            if ends.get(n) == clock and one in bench.live:
                bench.drop(one)
        if bench.live and clock in failing:
            bench.abandon(bench.scheduler.schedule())
        elif bench.live:
            bench.step()
        clock += 1
        assert clock < 20_000, "the queue stands still"
    for _, n, one in due:
        length, answer, mark, _, cancel, _, _ = traffic[n]
        expected = alone(prompt(length, mark), answer)
        assert one.tokens == expected[: len(one.tokens)]
        assert one.finished == ("length" if len(one.tokens) == len(expected) else "cancelled")
        assert one.finished == "length" or cancel is not None
    bench.deliver()
    assert bench.in_use == 0
    bench.check()


def test_prefill_pauses_where_snapshots_are_taken() -> None:
    bench = Bench(pages=80, max_step_tokens=3000, slots=8)
    length = 2 * SNAPSHOT_INTERVAL + 2 * PAGE_SIZE + 10
    bench.add(sequence("a", prompt(length), 2))
    bench.drain()
    ends = [SNAPSHOT_INTERVAL, 2 * SNAPSHOT_INTERVAL, length - 10]
    assert [item.end for [item] in bench.steps] == [*ends, length, length + 1]
    assert bench.snapshots == ends


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
    assert len(bench.states.digests) == 2, "the end of the prompt, and the latest of the answer"
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
    assert len(bench.states.digests) == 2
    for mark in range(3):
        bench.add(sequence(f"new {mark}", prompt(20, mark), 3))
    bench.step()
    assert len(bench.scheduler.running) == 3
    assert not bench.states.digests
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
    bench.abandon(batch)
    assert (one.slot, one.pages) == (None, [])
    bench.drain()
    assert one.tokens == alone(prompt(PAGE_SIZE + 30), 5)


def test_states_are_restored_among_the_prompts() -> None:
    """Their slots may be each other's sources, so that the order of copies matters."""
    bench = Bench(pages=16, slots=4)
    one = bench.add(sequence("a", prompt(PAGE_SIZE), 2 * PAGE_SIZE))
    while one.computed < 2 * PAGE_SIZE:
        bench.step()
    bench.abandon(bench.scheduler.schedule())
    assert one.output_len == PAGE_SIZE + 1
    [item] = bench.step()
    assert (item.start, item.end) == (2 * PAGE_SIZE, 2 * PAGE_SIZE + 1)
    assert item.restore is not None
    assert not item.is_decode


def test_a_lost_token_is_not_taken_in_twice() -> None:
    bench = Bench(pages=16, slots=4)
    one = bench.add(sequence("a", prompt(30), 5))
    bench.step()
    bench.launch(bench.scheduler.schedule())
    bench.abandon([])  # the interruption comes before the token is delivered
    bench.drain()
    assert one.tokens == alone(prompt(30), 5)


def test_collected_sequences_leave_no_snapshots() -> None:
    bench = Bench(pages=16, slots=4)
    bench.add(sequence("a", prompt(3 * PAGE_SIZE), 1, Collect.LOGITS))
    [item] = bench.step()
    assert (item.end, bench.snapshots) == (3 * PAGE_SIZE, [])


def test_a_state_that_was_wound_back_goes_on_decoding() -> None:
    bench = Bench(pages=8, slots=3, speculator=Guesser(right=0.3))
    one = bench.add(sequence("a", prompt(10), 100))
    bench.drain()
    assert one.tokens == alone(prompt(10), 100)
    [first, *decodes] = [item for [item] in bench.steps]
    assert not first.is_decode
    assert all(item.is_decode for item in decodes)
    repeated = max(item.end - item.start for item in decodes)
    assert 2 < repeated <= 9, "five rows may carry four guesses, and then it catches up"
    assert one.accepted < one.drafted


def test_of_a_window_every_token_is_seen_while_steps_run_ahead() -> None:
    bench = Bench(pages=(8, 2), windows=(None, PAGE_SIZE), ahead=True, max_step_tokens=100)
    one = bench.add(sequence("a", prompt(3 * PAGE_SIZE), 2 * PAGE_SIZE))
    bench.drain()
    bench.deliver()
    assert one.tokens == alone(prompt(3 * PAGE_SIZE), 2 * PAGE_SIZE)
    assert one.runs == 1, "it never gave its pages up before its end"
