"""Whole models of every family against transformers in float32, through the paged engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.engine.roster import Roster
from localfp4.engine.sequence import Sequence as EngineSequence
from localfp4.llm import LLM
from localfp4.messages import Completion, Delta, Finished
from tests.models import tiny

pytestmark = pytest.mark.parity

LENGTH = 150
"""Longer than two pages, any window and the context that scaled embeddings were made for."""

GREEDY = SamplingParams(max_tokens=20, temperature=0.0, logprobs=0, ignore_eos=True)
DRAWN = SamplingParams(max_tokens=20, temperature=0.9, seed=5, logprobs=0, ignore_eos=True)


@dataclass(frozen=True)
class Model:
    """A model of transformers, and the folder that it is saved in."""

    name: str
    theirs: Any
    folder: Path

    def open(self, max_step_tokens: int = 16, **sizes: int) -> LLM:
        sizes = {"context": tiny.CONTEXTS[self.name]} | sizes
        return tiny.open_llm(self.folder, max_step_tokens, **sizes)

    def logits(self, ids: list[int]) -> torch.Tensor:
        return tiny.logits_of(self.theirs, ids)

    def scores(self, ids: list[int]) -> torch.Tensor:
        following = torch.tensor(ids[1:]).unsqueeze(1)
        return self.logits(ids)[:-1].log_softmax(-1).gather(1, following).squeeze(1)


@dataclass(frozen=True)
class Pair:
    """The same model on both sides, and what transformers says of one prompt."""

    model: Model
    ours: LLM
    ids: list[int]
    expected: torch.Tensor


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Build each model once, when a test first asks for it."""
    root = tmp_path_factory.mktemp("models")
    built: dict[str, Model] = {}

    def get(name: str) -> Model:
        if name not in built:
            theirs = tiny.build(name)
            built[name] = Model(name, theirs, tiny.save(theirs, root / name))
        return built[name]

    return get


@pytest.fixture(scope="module", params=list(tiny.CONFIGS))
def model(models: Callable[[str], Model], request: pytest.FixtureRequest) -> Model:
    return models(request.param)


@pytest.fixture(scope="module")
def pair(model: Model) -> Iterator[Pair]:
    ids = tiny.token_ids(LENGTH)
    with model.open() as ours:
        yield Pair(model, ours, ids, model.logits(ids))


def difference(ours: LLM, expected: torch.Tensor, ids: list[int]) -> float:
    logits = ours.logits(ids)
    assert logits.shape == expected.shape
    assert logits.dtype == torch.float32
    return float((logits - expected).abs().max())


def check_answers(
    model: Model, prompts: Sequence[list[int]], answers: Sequence[Completion], *greedy: int
) -> None:
    """Compare generated tokens with what transformers says of the whole text at once."""
    for index, (ids, answer) in enumerate(zip(prompts, answers, strict=True)):
        assert answer.logprobs is not None
        assert len(answer.token_ids) == GREEDY.max_tokens
        whole = model.logits(ids + answer.token_ids)[len(ids) - 1 : -1].log_softmax(-1)
        chosen = whole.gather(1, torch.tensor(answer.token_ids).unsqueeze(1)).squeeze(1)
        reported = torch.tensor([logprob.logprob for logprob in answer.logprobs])
        assert float((reported - chosen).abs().max()) <= tiny.TOLERANCE, f"answer {index}"
        if index in greedy:
            assert float((whole.amax(-1) - chosen).max()) <= 2 * tiny.TOLERANCE


def requests(prompts: Sequence[list[int]]) -> list[dict[str, list[int]]]:
    return [{"prompt_token_ids": ids} for ids in prompts]


def test_logits_are_those_of_transformers(pair: Pair) -> None:
    assert pair.expected.std() > 0.3, "a model that says nothing would prove nothing"
    assert difference(pair.ours, pair.expected, pair.ids) <= tiny.TOLERANCE


def test_scores_are_log_probabilities_of_the_next_token(pair: Pair) -> None:
    scores = pair.ours.score(pair.ids)
    assert scores.shape == (LENGTH - 1,)
    assert float((scores - pair.model.scores(pair.ids)).abs().max()) <= tiny.TOLERANCE


def test_token_by_token_after_a_cached_prefix_equals_all_at_once(pair: Pair) -> None:
    """Ask twice; the second time all whole pages of the prompt are there already."""
    prompt = pair.ids[: PAGE_SIZE + 40]
    [first] = pair.ours.generate(requests([prompt]), GREEDY)
    events = list(pair.ours.events({"prompt_token_ids": prompt}, GREEDY))
    finished = events[-1]
    deltas = [event for event in events if isinstance(event, Delta)]
    again = [token for delta in deltas for token in delta.logprobs]
    assert isinstance(finished, Finished)
    assert finished.cached_tokens >= PAGE_SIZE
    second = Completion("", [token.token_id for token in again], finished.reason, again)
    check_answers(pair.model, [prompt, prompt], [first, second], 0, 1)


def test_a_batch_of_strangers(pair: Pair) -> None:
    """Prompts of every length in one queue: chunks of some go along with tokens of others."""
    prompts = [tiny.token_ids(n, seed=n) for n in (70, 20, 33, 63, 46)]
    params = [DRAWN if index == 2 else GREEDY for index in range(len(prompts))]
    answers = pair.ours.generate(requests(prompts), params)
    check_answers(pair.model, prompts, answers, 0, 1, 3, 4)


@pytest.mark.parametrize(
    "chunk", [61, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in (1, 5, 64, 512))]
)
def test_prefill_split_anywhere(model: Model, chunk: int) -> None:
    ids = tiny.token_ids(131, seed=1)
    with model.open(chunk) as ours:
        assert difference(ours, model.logits(ids), ids) <= tiny.TOLERANCE


def test_answers_go_on_after_preemption(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sequences that need two pages each share three."""
    preempted: list[EngineSequence] = []
    preempt = Roster.preempt

    def spy(roster: Roster, sequence: EngineSequence) -> None:
        preempted.append(sequence)
        preempt(roster, sequence)

    monkeypatch.setattr(Roster, "preempt", spy)
    prompts = [tiny.token_ids(PAGE_SIZE - 8, seed=seed) for seed in (11, 12, 13)]
    with model.open(context=2 * PAGE_SIZE, cache=3 * PAGE_SIZE) as ours:
        answers = ours.generate(requests(prompts), GREEDY)
    assert preempted
    check_answers(model, prompts, answers, 0, 1, 2)


def _label(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={setting}" for key, setting in value.items())[:60]
    return str(value)


@pytest.mark.parametrize(("name", "changes"), tiny.WRONG, ids=_label)
def test_a_wrong_config_is_told_apart(
    models: Callable[[str], Model], tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    """The negative control: the tolerance is tight enough to see small mistakes."""
    model, ids = models(name), tiny.token_ids(LENGTH)
    folder = tiny.edited(model.folder, tmp_path / "model", **changes)
    with tiny.open_llm(folder, context=tiny.CONTEXTS[name]) as ours:
        assert difference(ours, model.logits(ids), ids) > 10 * tiny.TOLERANCE
