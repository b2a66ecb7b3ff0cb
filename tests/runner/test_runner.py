"""Steps from work to results, above a decoder whose logits are known beforehand."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from localfp4.config import SamplingParams
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import StateCache
from localfp4.models.execution import TORCH, Execution
from localfp4.runner.collect import ROWS
from localfp4.runner.drawn import DrawnStep
from localfp4.runner.graphs import DecodeGraphs, GraphSizes, padded
from localfp4.runner.prepare import Scratch
from localfp4.runner.runner import Runner
from localfp4.runner.slot_copies import SlotCopies
from localfp4.runner.work import Collect, Draw, Work
from localfp4_kernels.device import target_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

VOCAB = 40
GREEDY = SamplingParams(temperature=0)


class KnownLogits:
    """A decoder whose logits depend on the token and its position, and on nothing else."""

    def __init__(self, *, by_kernels: bool = False) -> None:
        self.spec = SimpleNamespace(layers=(), vocab_size=VOCAB)
        self.execution = Execution(target_of(DEVICE)) if by_kernels else TORCH
        self.rows: list[int] = []

    def forward(self, batch: ForwardBatch, caches: object) -> torch.Tensor:
        return torch.stack((batch.token_ids, batch.positions), dim=1)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(hidden))
        logits = [logits_after(token, place) for token, place in hidden.tolist()]
        return torch.stack(logits).to(hidden.device) if logits else torch.empty(0, VOCAB)


def logits_after(token: int, position: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 * token + position)
    return torch.randn(VOCAB, generator=generator) * 2


def make(*, by_kernels: bool = False, **settings: Any) -> Runner:
    decoder: Any = KnownLogits(by_kernels=by_kernels)
    return Runner(decoder, (), DEVICE, **settings)


def work(tokens: list[int], params: SamplingParams = GREEDY, **others: Any) -> Work:
    end = len(tokens) + ("follows" in others)
    draw = Draw(params, tokens, 1, seed=len(tokens))
    return Work(tokens, end - 1, end, [[0]], is_decode=True, draw=draw, **others)


def drawn(runner: Runner, items: Sequence[Work]) -> list[list[int]]:
    return [[one.token_id for one in result.sampled] for result in runner.run(items)]


def answer(tokens: list[int], params: SamplingParams, count: int) -> list[int]:
    """Return what one token after the other gives."""
    runner, text = make(), list(tokens)
    for _ in range(count):
        draw = Draw(params, text, 1, seed=5)
        item = Work(text, len(text) - 1, len(text), [[0]], is_decode=True, draw=draw)
        text += drawn(runner, [item])[0]
    return text[len(tokens) :]


PARAMS = {
    "greedy": GREEDY,
    "sampled": SamplingParams(temperature=1.5, min_p=0.05),
    "penalised": SamplingParams(temperature=0.8, frequency_penalty=1.5, repetition_penalty=1.4),
}


@pytest.mark.parametrize("by_kernels", [False, True])
@pytest.mark.parametrize("name", PARAMS)
def test_drafts_are_accepted_up_to_the_first_that_is_wrong(name: str, by_kernels: bool) -> None:
    params, text = PARAMS[name], [3, 9]
    right = answer(text, params, 4)
    wrong = [(token + 1) % VOCAB for token in right]
    for drafts, accepted in (
        ((), 0),
        (tuple(right[:3]), 3),
        ((right[0], wrong[1], right[2]), 1),
        ((wrong[0],), 0),
    ):
        draw = Draw(params, text, 1, seed=5)
        item = Work(text, 1, 2, [[0]], is_decode=True, draw=draw, drafts=drafts)
        neighbour = work([1, 2, 3])
        [got, _] = drawn(make(by_kernels=by_kernels), [item, neighbour])
        assert got == right[: accepted + 1]


@pytest.mark.parametrize("by_kernels", [False, True])
@pytest.mark.parametrize("name", PARAMS)
def test_a_step_can_follow_one_whose_outcome_is_unknown(name: str, by_kernels: bool) -> None:
    params, one, other = PARAMS[name], [4, 4, 8], [6]
    runner = make(by_kernels=by_kernels)

    def item(tokens: list[int], ahead: int, follows: int | None = None) -> Work:
        end = len(tokens) + ahead
        draw = Draw(params, tokens, 1, seed=5)
        return Work(tokens, end - 1, end, [[0]], is_decode=True, draw=draw, follows=follows)

    first = runner.launch([item(one, 0), item(other, 0)])
    # In another order, and with one that was not there.
    second = runner.launch([item([7], 0), item(other, 1, follows=1), item(one, 1, follows=0)])
    for tokens, result in zip((one, other), first.results(), strict=True):
        tokens.append(result.sampled[0].token_id)
    _, later_other, later_one = ([s.token_id for s in r.sampled] for r in second.results())
    assert one[3:] + later_one == answer(one[:3], params, 2)
    assert other[1:] + later_other == answer(other[:1], params, 2)


@pytest.mark.parametrize("by_kernels", [False, True])
def test_both_ways_of_choosing_report_the_same(by_kernels: bool) -> None:
    asked = SamplingParams(logprobs=3, logit_bias={4: 2.5}, presence_penalty=0.5)
    few = SamplingParams(temperature=0, logprobs=1)
    items = [work([5]), work([5, 5], asked), work([8], few)]
    plain, biased, last = make(by_kernels=by_kernels).run(items)
    assert plain.sampled[0].logprob is None
    for result, tokens, count in ((biased, [5, 5], 3), (last, [8], 1)):
        [sampled] = result.sampled
        expected = logits_after(tokens[-1], len(tokens) - 1).log_softmax(-1)
        assert sampled.logprob is not None
        assert sampled.logprob.logprob == pytest.approx(float(expected[sampled.token_id]), abs=1e-5)
        values, ids = expected.topk(count)
        assert [token for token, _ in sampled.logprob.top] == ids.tolist()
        got = [value for _, value in sampled.logprob.top]
        assert got == pytest.approx(values.tolist(), abs=1e-5)


def test_logits_of_long_prompts_are_computed_piece_by_piece() -> None:
    runner, tokens = make(), [n % VOCAB for n in range(150)]
    decoder: Any = runner.decoder
    wanted = torch.stack([logits_after(token, n) for n, token in enumerate(tokens)])
    pages = [[0, 1, 2]]
    item = Work(tokens, 0, 140, pages, False, draw=None, collect=Collect.SCORES)
    other = Work(tokens, 100, 150, pages, False, draw=None, collect=Collect.LOGITS)
    drawing = Work(tokens, 0, 3, pages, False, draw=Draw(GREEDY, tokens[:3], 3, seed=0))
    scored, collected, sampled = runner.run([item, other, drawing])
    following = torch.tensor(tokens[1:141]).unsqueeze(1)
    scores = wanted[:140].log_softmax(-1).gather(1, following).squeeze(1)
    assert scored.scores == pytest.approx(scores.tolist(), abs=1e-6)
    assert collected.logits is not None
    assert torch.equal(collected.logits, wanted[100:])
    assert sampled.sampled[0].token_id == int(wanted[2].argmax())
    assert max(decoder.rows) <= ROWS


class Guesses:
    """Guesses the number of accepted drafts and the last token, and keeps the step."""

    def propose(self, step: DrawnStep) -> torch.Tensor:
        self.step = step
        return torch.stack((step.accepted, step.latest, step.rows), dim=1)


@pytest.mark.parametrize("by_kernels", [False, True])
def test_whoever_guesses_is_told_what_was_accepted(by_kernels: bool) -> None:
    right = answer([3, 9], GREEDY, 3)
    guesses = Guesses()
    runner = make(by_kernels=by_kernels, proposer=guesses)
    draw = Draw(GREEDY, [3, 9], 1, seed=5)
    drafts = (right[0], right[1] + 1)
    item = Work([3, 9], 1, 2, [[0]], is_decode=True, draw=draw, drafts=drafts, propose=3)
    prompt = Work([1, 2, 3], 0, 2, [[0]], is_decode=False, draw=None)
    first, second, third = runner.run([work([6, 6], propose=2), item, prompt])
    assert first.drafts == (0, first.sampled[0].token_id)
    assert second.drafts == (1, right[1], 2), "its rows are 1 to 3, and one draft was right"
    assert third.drafts == ()
    assert guesses.step.hidden.shape[0] == 6


def test_slots_of_all_layers_are_copied_in_order_and_at_once() -> None:
    stack = torch.randn(3, 5, 4, 2)
    single = torch.randn(5, 7)
    caches = (*(StateCache(conv) for conv in stack), None, StateCache(single))
    before, lone = stack.clone(), single.clone()
    copies = SlotCopies(caches)
    copies.copy([(0, 1), (None, 3), (1, 2), (4, 4)])
    assert copies.launches == 2
    assert torch.equal(stack[:, 1], before[:, 0])
    assert torch.equal(stack[:, 2], before[:, 0]), "what the pair before had copied"
    assert torch.equal(stack[:, 3:], before[:, 3:])
    assert torch.equal(single[[1, 2, 3, 4]], lone[[0, 0, 3, 4]])


def recording_fails(run: object) -> Any:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_what_cannot_be_recorded_is_launched() -> None:
    runner = make()
    graphs = DecodeGraphs(
        runner.decoder, (), Scratch((0,), None), DEVICE, GraphSizes(8, 128), recording_fails
    )
    runner.graphs = graphs
    text = [3, 9]
    for _ in range(2):
        text += drawn(runner, [work(text, GREEDY)])[0]
    assert text[2:] == answer([3, 9], GREEDY, 2)
    assert graphs.note is not None
    assert graphs.note.endswith("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("items", "is_recorded"),
    [
        ([work([1, 2])], True),
        ([work([1, 2], drafts=(1, 2, 3))] * 2, True),
        ([work([1, 2])] * 9, False),
        ([work([1] * 129)], False),
        ([work([1] * 127, drafts=(3, 4))], False),
        ([work([1, 2]), Work([1, 2], 0, 2, [[0]], is_decode=False, draw=None)], False),
        ([Work([1], 0, 1, [[0]], True, draw=None, collect=Collect.LOGITS)], False),
    ],
)
def test_only_steps_that_fit_are_recorded(items: list[Work], is_recorded: bool) -> None:
    runner = make()
    graphs = DecodeGraphs(
        runner.decoder, (), Scratch((0,), None), DEVICE, GraphSizes(8, 128), recording_fails
    )
    assert (graphs.bucket(items) is not None) == is_recorded


def test_sizes_are_padded_by_a_third_at_most() -> None:
    sizes = [padded(rows) for rows in range(1, 200)]
    assert all(
        0 <= size - rows <= max(rows / 3, 1) for rows, size in enumerate(sizes, 1) if rows < 8
    )
    assert all(0 <= size - rows < 8 for rows, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 32
