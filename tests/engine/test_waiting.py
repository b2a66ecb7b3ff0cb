"""Whose turn it is: clients alike, interactive before background, and who gives way to whom."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import PAGE_SIZE
from localfp4.engine.sequence import Sequence
from localfp4.engine.waiting import MOST_CLIENTS, WaitingQueue
from tests.engine.scheduler_bench import Bench, alone, prompt, sequence


def _one(name: str, client: str = "", *, background: bool = False) -> Sequence:
    return sequence(name, [1], 1, background=background, client=client)


def _add(queue: WaitingQueue, *names: str) -> list[Sequence]:
    """Queue sequences whose first letter is their client's."""
    added = [_one(name, name[0]) for name in names]
    for one in added:
        queue.add(one)
    return added


def _names(queue: WaitingQueue) -> list[str]:
    return [one.id for one in queue]


def _serve(queue: WaitingQueue, count: int, cost: int = 10) -> list[str]:
    """Take sequences out one after another, and charge for each."""
    names = []
    for one in queue:
        queue.remove(one)
        queue.charge(one, cost)
        names.append(one.id)
        if len(names) == count:
            break
    return names


def test_clients_take_turns_and_each_one_is_first_come_first_served() -> None:
    queue = WaitingQueue()
    _add(queue, "a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert len(queue) == 7
    assert _serve(queue, 7) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert len(queue) == 0


def test_whoever_was_served_less_goes_first() -> None:
    queue = WaitingQueue()
    a1, b1, *_ = _add(queue, "a1", "b1", "a2", "b2")
    for one in (a1, b1):
        queue.remove(one)
    queue.charge(a1, 1000)
    queue.charge(b1, 10)
    assert _names(queue) == ["b2", "a2"]


def test_a_client_that_was_idle_has_saved_nothing_up() -> None:
    queue = WaitingQueue()
    _add(queue, "b1")
    _serve(queue, 1)
    _add(queue, *(f"a{n}" for n in range(100)))
    _serve(queue, 50)
    _add(queue, *(f"b{n}" for n in range(100)))
    served = Counter(name[0] for name in _serve(queue, 40))
    assert served == {"a": 20, "b": 20}


def test_a_client_that_comes_to_an_empty_queue_has_saved_nothing_up() -> None:
    queue = WaitingQueue()
    [late] = _add(queue, "a1")
    queue.remove(late)
    queue.charge(late, 1000)
    _add(queue, "b1", "a2", "b2", "a3")
    assert sorted(_serve(queue, 2)) == ["a2", "b1"]


def test_background_waits_for_all_others_and_those_who_gave_way_come_first() -> None:
    queue = WaitingQueue()
    preempted, idle = _one("preempted", "p"), _one("idle", "i", background=True)
    idle_preempted = _one("idle preempted", "i", background=True)
    queue.add(idle)
    queue.give_way(idle_preempted)
    _add(queue, "a1", "b1")
    queue.give_way(preempted)
    assert _names(queue) == ["preempted", "a1", "b1", "idle preempted", "idle"]
    for one in (idle, preempted):
        queue.remove(one)
        queue.remove(one)
    assert _names(queue) == ["a1", "b1", "idle preempted"]


def test_clients_without_end_are_forgotten() -> None:
    queue = WaitingQueue()
    _add(queue, "z")
    for n in range(5 * MOST_CLIENTS):
        one = _one(str(n), f"client {n}")
        queue.add(one)
        queue.remove(one)
        queue.charge(one, 10)
    assert len(queue._interactive.served) <= MOST_CLIENTS
    assert _names(queue) == ["z"]


@settings(max_examples=60, deadline=None)
@given(
    clients=st.integers(2, 5),
    costs=st.lists(st.integers(1, 40), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
)
def test_clients_that_always_wait_are_served_alike_whatever_they_send(
    clients: int, costs: list[int], seed: int
) -> None:
    """The bound of the paper: two requests, of the largest kind."""
    queue, stream, served = WaitingQueue(), random.Random(seed), Counter[str]()
    for client in "abcde"[:clients]:
        _add(queue, *(f"{client}{n}" for n in range(stream.randint(1, 4))))
    for n in range(200):
        one = next(iter(queue))
        _add(queue, f"{one.client}{n}")
        queue.remove(one)
        cost = stream.randint(1, costs["abcde".index(one.client)])
        queue.charge(one, cost)
        served[one.client] += cost
        gap = max(served.values()) - min(served[client] for client in "abcde"[:clients])
        assert gap <= 2 * max(costs)


def test_a_client_with_one_request_does_not_wait_for_all_of_another() -> None:
    bench = Bench(pages=64, max_batch=2)
    for n in range(10):
        bench.add(sequence(f"a{n}", prompt(20, n), 8, client="a"))
    bench.step()
    bench.add(sequence("b", prompt(20, 99), 8, client="b"))
    ended: list[str] = []
    while bench.live:
        before = [one.id for one in bench.live]
        bench.step()
        ended += [name for name in before if name not in {one.id for one in bench.live}]
    assert ended.index("b") in (2, 3)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("scarce", ["places", "pages"])
def test_background_gives_way_to_whoever_waits_and_goes_on_later(scarce: str, ahead: bool) -> None:
    room = {"places": (64, 2), "pages": (7, 8)}[scarce]
    bench = Bench(*room, ahead=ahead)
    prompts = [prompt(2 * PAGE_SIZE, n) for n in range(4)]
    first = bench.add(sequence("first", prompts[0], 80))
    idle = [bench.add(sequence(f"idle {n}", prompts[n], 80, background=True)) for n in (1, 2)]
    for _ in range(3):
        bench.step()
    youngest = bench.scheduler.running[-1]
    assert youngest in idle
    urgent = bench.add(sequence("urgent", prompts[3], 80))
    bench.step()
    assert bench.scheduler.running[:2] == [first, urgent]
    assert youngest not in bench.scheduler.running
    bench.drain()
    assert urgent.tokens == alone(prompts[3], 80)
    assert [one.tokens for one in idle] == [alone(prompts[n], 80) for n in (1, 2)]


def test_background_does_not_give_way_in_vain() -> None:
    bench = Bench(pages=8, max_batch=8)
    bench.add(sequence("first", prompt(4 * PAGE_SIZE, 1), 20))
    idle = bench.add(sequence("idle", prompt(PAGE_SIZE, 2), 20, background=True))
    bench.step(), bench.step()
    bench.add(sequence("large", prompt(5 * PAGE_SIZE, 3), 2))
    bench.step()
    assert idle in bench.scheduler.running
    bench.drain()


def test_an_interactive_sequence_that_grows_takes_the_pages_of_a_background_one() -> None:
    bench = Bench(pages=4)
    idle = bench.add(sequence("idle", prompt(PAGE_SIZE, 1), 60, background=True))
    bench.step()
    grows = bench.add(sequence("grows", prompt(2 * PAGE_SIZE - 2, 2), 60))
    while grows.finished is None:
        bench.step()
        assert grows in bench.scheduler.running or grows.finished
    assert idle.runs > 0
    bench.drain()
    assert idle.tokens == alone(prompt(PAGE_SIZE, 1), 60)


def test_a_background_prompt_leaves_the_step_to_whoever_waits() -> None:
    bench = Bench(pages=64, max_step_tokens=100)
    idle = bench.add(sequence("idle", prompt(1000, 1), 2, background=True))
    bench.step()
    urgent = bench.add(sequence("urgent", prompt(80, 2), 2))
    assert [(i.sequence, i.rows) for i in bench.step()] == [(idle, 20), (urgent, 80)]
    bench.drain()
    assert idle.tokens == alone(prompt(1000, 1), 2)


@pytest.mark.parametrize("kind", ["prompts", "answers"])
def test_long_requests_are_served_less_often_than_short_ones(kind: str) -> None:
    """Four times as many tokens each, so a quarter as many of them."""
    bench = Bench(pages=200, max_batch=1, max_step_tokens=1000)
    for n in range(40):
        for client, times in (("a", 4), ("b", 1)):
            size = (50 * times, 1) if kind == "prompts" else (1, 25 * times)
            one = sequence(f"{client}{n}", prompt(size[0], 2 * n + (client == "b")), size[1])
            one.client = client
            bench.add(one)
    while len(bench.live) > 55:
        bench.step()
    left = Counter(one.client for one in bench.live)
    assert 3 <= (40 - left["b"]) / (40 - left["a"]) <= 5


def test_background_gives_its_state_slot_to_whoever_waits() -> None:
    bench = Bench(pages=16, max_batch=2, max_step_tokens=1, slots=1)
    bench.add(sequence("idle", prompt(5, 1), 2, background=True))
    bench.step()
    urgent = bench.add(sequence("urgent", prompt(5, 2), 2))
    bench.step()
    assert bench.scheduler.running == [urgent]
    bench.drain()
