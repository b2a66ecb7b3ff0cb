"""The slots of recurrent layers."""

import pytest

from localfp4.engine.state_slots import StateSlots


def taken(states: StateSlots) -> int:
    slot = states.take()
    assert slot is not None
    return slot


def test_every_slot_is_handed_out_once() -> None:
    states = StateSlots(3)
    assert sorted(taken(states) for _ in range(3)) == [0, 1, 2]
    assert states.take() is None
    states.check([0, 1, 2])


def test_the_least_recently_used_snapshot_makes_room() -> None:
    states = StateSlots(3)
    slots = [taken(states) for _ in range(3)]
    for digest, slot in zip((b"0", b"1", b"2"), slots, strict=True):
        assert states.keep(digest, slot)
    assert states.use(b"0") == slots[0]
    assert [states.take(), states.take()] == [slots[1], slots[2]]
    assert list(states.digests) == [b"0"]
    with pytest.raises(KeyError):
        states.use(b"1")


def test_a_second_snapshot_of_the_same_is_not_needed() -> None:
    states = StateSlots(3)
    first, other, second = (taken(states) for _ in range(3))
    assert states.keep(b"5", first)
    assert states.keep(b"6", other)
    assert not states.keep(b"5", second)
    states.check([])
    assert taken(states) == second
    assert taken(states) == other, "the first has just been used"


def test_a_dropped_snapshot_is_free_again() -> None:
    states = StateSlots(1)
    slot = taken(states)
    states.keep(b"4", slot)
    states.drop(b"4")
    states.drop(b"4")
    assert not states.digests
    assert states.take() == slot


@pytest.mark.parametrize("kept", [True, False])
def test_a_slot_is_given_back_once(kept: bool) -> None:
    states = StateSlots(2)
    slot = taken(states)
    if kept:
        states.keep(b"0", slot)
    else:
        states.give_back(slot)
    with pytest.raises(ValueError, match="given back twice"):
        states.give_back(slot)


def test_check_notices_lost_and_doubled_slots() -> None:
    states = StateSlots(2)
    slot = taken(states)
    states.check([slot])
    for wrong in ([], [slot, slot], [1 - slot], [0, 1]):
        with pytest.raises(AssertionError, match="lost or belongs to two"):
            states.check(wrong)
