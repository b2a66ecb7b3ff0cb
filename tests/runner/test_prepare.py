"""How a step's work is laid out, against tables written by hand."""

from dataclasses import replace

import pytest
import torch

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.runner.numbers import Numbers
from localfp4.runner.prepare import Scratch, prepare, write_batch
from localfp4.runner.rows import Bucket, drawn_rows, first_rows
from localfp4.runner.work import Draw, Work

CPU = torch.device("cpu")
SCRATCH = Scratch((90, 91), 9)
GREEDY = SamplingParams(temperature=0)
TEXT = list(range(100, 300))


def decode(end: int, *pages: list[int], start: int | None = None, **others: object) -> Work:
    draw = Draw(GREEDY, TEXT, 1, seed=0)
    work = Work(TEXT, end - 1 if start is None else start, end, pages, is_decode=True, draw=draw)
    return replace(work, **others)  # type: ignore[arg-type]


def prompt(start: int, end: int, *pages: list[int], **others: object) -> Work:
    work = Work(TEXT, start, end, pages, is_decode=False, draw=None)
    return replace(work, **others)  # type: ignore[arg-type]


def test_drafts_have_rows_behind_their_sequence_and_end_at_different_lengths() -> None:
    work = [decode(64, [3, 4], drafts=(7, 8)), decode(5, [6])]
    batch = prepare(work, CPU)
    assert batch.decodes == 4
    assert batch.token_ids.tolist() == [163, 7, 8, 104]
    assert batch.positions.tolist() == [63, 64, 65, 4]
    assert batch.offsets.tolist() == [63, 0, 1, 4]
    assert batch.seq_lens.tolist() == [64, 65, 66, 5]
    assert batch.tables[0].pages.tolist() == [3, 4, 4, 6]
    assert batch.tables[0].block_tables.tolist() == [[3, 4], [3, 4], [3, 4], [6, 6]]
    rows = drawn_rows(work, first_rows(work))
    assert [(row.row, row.position, row.drafts) for row in rows] == [
        (0, 64, ()),
        (1, 65, (7,)),
        (2, 66, (7, 8)),
        (3, 5, ()),
    ]


def test_a_sequence_that_was_wound_back_draws_after_its_newest_token() -> None:
    work = [decode(7, [2], start=4, slot=1, drafts=(9,)), decode(3, [5], slot=0)]
    batch = prepare(work, CPU)
    assert batch.token_ids.tolist() == [104, 105, 106, 9, 102]
    assert batch.states is not None
    rounds = [(turn.rows, turn.slots.tolist()) for turn in batch.states.rounds]
    assert [(None if rows is None else rows.tolist(), slots) for rows, slots in rounds] == [
        ([0, 4], [1, 0]),
        ([1], [1]),
        ([2], [1]),
        ([3], [1]),
    ]
    assert [row.row for row in drawn_rows(work, first_rows(work))] == [2, 3, 4]


def test_pages_that_a_window_has_passed_are_scratch() -> None:
    batch = prepare([decode(130, [1, 2, 3], [-1, -1, 4])], CPU, SCRATCH)
    full, sliding = batch.tables
    assert full.block_tables.tolist() == [[1, 2, 3]]
    assert sliding.block_tables.tolist() == [[91, 91, 4]]
    assert sliding.pages.tolist() == [4]


def test_prompts_follow_decoding_sequences() -> None:
    work = [
        decode(3, [5], slot=1),
        prompt(0, 70, [1, 2], slot=2),
        prompt(64, 67, [3, 4], slot=0, restore=4),
    ]
    batch = prepare(work, CPU)
    assert [(one.start, one.end, one.seq_len) for one in batch.prefills] == [
        (1, 71, 70),
        (71, 74, 67),
    ]
    assert batch.tables[0].pages.tolist() == [5, *[1] * 64, *[2] * 6, 4, 4, 4]
    assert [chunk.tolist() for chunk in batch.tables[0].chunks] == [[1, 2], [3, 4]]
    assert batch.packed is not None
    assert batch.packed.chunk_starts.tolist() == [0, 70, 73]
    assert batch.packed.context_lens.tolist() == [0, 64]
    assert batch.packed.longest == 70
    assert batch.packed.has_context
    states = batch.states
    assert states is not None
    assert states.prompt_slots.tolist() == [2, 0]
    assert states.continues.tolist() == [False, True]
    assert states.packed_prompts.token_offsets.tolist() == [0, 70, 73]
    assert states.packed_prompts.chunk_offsets.tolist() == [0, 2, 3]
    assert states.packed_prompts.chunks.tolist() == [[0, 0], [0, 1], [1, 0]]


def test_a_bucket_is_filled_with_rows_that_disturb_nobody() -> None:
    numbers, bucket = Numbers(), Bucket(sequences=4, rows=1, pages=3)
    work = [decode(64, [3, 4], [7, 8], drafts=(7,)), decode(5, [6], [9])]
    sections = write_batch(numbers, work, SCRATCH, bucket)
    batch = sections.batch(numbers.on_device(CPU))
    assert batch.token_ids.tolist() == [163, 7, 104, 0]
    assert batch.seq_lens.tolist() == [64, 65, 5, 1]
    assert batch.tables[0].pages.tolist() == [3, 4, 6, 90]
    assert batch.tables[1].pages.tolist() == [7, 8, 9, 91]
    assert batch.tables[0].block_tables.tolist() == [[3, 4, 3], [3, 4, 3], [6] * 3, [90] * 3]


def test_a_bucket_of_a_recurrent_model_has_as_many_rows_of_every_sequence() -> None:
    numbers, bucket = Numbers(), Bucket(sequences=3, rows=2, pages=2)
    work = [decode(9, [1], [1], slot=5), decode(4, [2], [2], slot=6, drafts=(8,))]
    sections = write_batch(numbers, work, SCRATCH, bucket)
    batch = sections.batch(numbers.on_device(CPU))
    assert batch.token_ids.tolist() == [108, 0, 103, 8, 0, 0]
    assert batch.tables[0].pages.tolist() == [1, 90, 2, 2, 90, 90]
    assert batch.states is not None
    first, second = batch.states.rounds
    assert first.rows is not None
    assert second.rows is not None
    assert (first.rows.tolist(), first.slots.tolist()) == ([0, 2, 4], [5, 6, 9])
    assert (second.rows.tolist(), second.slots.tolist()) == ([1, 3, 5], [9, 6, 9])
    rows = drawn_rows(work, first_rows(work, bucket))
    assert [row.row for row in rows] == [0, 2, 3]


@pytest.mark.parametrize("bucket", [Bucket(3, 1, 4), Bucket(2, 2, 3)])
def test_the_places_of_a_bucket_depend_on_nothing_but_its_size(bucket: Bucket) -> None:
    works = [
        (),
        [decode(3, [1], [1], slot=0)],
        [decode(150, [1, 2, 3], [-1, -1, 3], slot=0), decode(65, [4, 5], [4, 5], slot=1)],
    ]
    sections = [write_batch(Numbers(), work, SCRATCH, bucket) for work in works]
    assert sections[0] == sections[1] == sections[2]


def test_tensors_begin_where_kernels_can_load_16_bytes() -> None:
    numbers = Numbers()
    sections = [
        numbers.int64([1, 2, 3]),
        numbers.int32([4, 5, 6]),
        numbers.float32([0.5]),
        numbers.int64([]),
        numbers.int64([-7]),
    ]
    buffer = numbers.on_device(CPU)
    assert [section.of(buffer).tolist() for section in sections] == [
        [1, 2, 3], [4, 5, 6], [0.5], [], [-7],
    ]  # fmt: skip
    assert all(section.start % 2 == 0 for section in sections)


def test_what_the_host_knows_of_the_step_before_is_filled_in() -> None:
    work = [decode(6, [1], follows=1, tokens=TEXT[:5])]
    assert prepare(work, CPU).token_ids.tolist() == [0]
    numbers = Numbers()
    sections = write_batch(numbers, work, Scratch((PAGE_SIZE,), None), known=[41, 42])
    assert sections.batch(numbers.on_device(CPU)).token_ids.tolist() == [42]
    [row] = drawn_rows(work, first_rows(work), known=[41, 42])
    assert (row.drafts, row.follows) == ((42,), None)
    [row] = drawn_rows(work, first_rows(work))
    assert (row.drafts, row.follows) == ((), 1)
