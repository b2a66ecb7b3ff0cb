"""Drafts from the device, against the same models run from scratch on all tokens so far."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.errors import RequestError
from localfp4.messages import Request
from localfp4.models.decoder import Decoder
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.propose_mtp import mtp_proposer
from localfp4.runner.work import Work
from tests.engine.traffic import (
    GREEDY,
    answer,
    assert_same,
    load,
    random_requests,
    random_tokens,
    run,
)
from tests.models import tiny
from tests.runner.drafting import (
    CPU,
    Prophet,
    config_of,
    load_alone,
    plain_engine,
    recorded,
    save_with_head,
    speculating_engine,
)

PAGES = 8


@pytest.fixture(scope="module")
def with_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_head(tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of 8 tokens in every other layer, and a narrower vocabulary."""
    torch.manual_seed(3)
    settings = tiny.CONFIGS["gemma3"] | {"vocab_size": 250}
    model = tiny.build_from(tiny.complete(settings))
    tiny.randomise(model)
    return tiny.save(model, tmp_path_factory.mktemp("draft") / "model")


@torch.inference_mode()
def continued(decoder: Decoder, tokens: list[int], count: int, vocab: int) -> list[int]:
    """Return what a model would say next, each time run on everything."""
    tokens, first = list(tokens), len(tokens)
    groups = [list(range(PAGES))] * 2
    for _ in range(count):
        known = [min(token, decoder.spec.vocab_size - 1) for token in tokens]
        caches = allocate_caches(decoder.spec, [PAGES] * 2, "float32", CPU, slots=1)
        work = Work(known, 0, len(known), groups, False, draw=None)
        hidden = decoder.forward(prepare([work], CPU), caches)
        tokens.append(int(decoder.logits(hidden[-1:])[0, :vocab].argmax()))
    return tokens[first:]


@torch.inference_mode()
def drafted_by_head(decoder: Decoder, tokens: list[int], count: int) -> list[int]:
    """Return the head's drafts after ``tokens``, each time run on everything."""
    caches = allocate_caches(decoder.spec, [PAGES], "float32", CPU, slots=1)
    pages = [list(range(PAGES))]

    def step(ids: list[int]) -> Work:
        return Work(ids, 0, len(ids), pages, False, draw=None, slot=0)

    hidden = decoder.forward(prepare([step(tokens[:-1])], CPU), caches)
    following = tokens[1:]
    for _ in range(count):
        head = mtp_proposer(decoder, PAGES, "float32", CPU).caches
        states = decoder.draft(hidden, prepare([step(following)], CPU), head)
        following = [*following, int(decoder.logits(states[-1:]).argmax())]
        hidden = torch.cat((hidden, states[-1:]))
    return following[len(tokens) - 1 :]


def requests(count: int) -> list[Request]:
    """Prompts that cross pages, some of them loops, so that look-ups find something."""
    made = random_requests(count, seed=7)
    return [
        replace(one, token_ids=(one.token_ids or ()) + tuple(random_tokens(n, 5)) * (n % 3 * 4))
        for n, one in enumerate(made)
    ]


def assert_as_without(engine: Engine, plain: Engine, asked: list[Request]) -> None:
    """Compare answers with those of an engine without drafts, each alone."""
    expected = {
        one.id: answer(plain, list(one.token_ids or ()), one.sampling).token_ids for one in asked
    }
    if isinstance(engine._model.speculator, Prophet):
        engine._model.speculator.answers |= expected
    outcomes = run(engine, asked)
    for request in asked:
        assert_same(plain, request, outcomes[request.id].token_ids, expected[request.id])


def counts(engine: Engine) -> tuple[int, int]:
    """Return how many drafts were checked, and how many were right."""
    speculator = engine._model.speculator
    assert speculator is not None
    return speculator.drafted, speculator.accepted


def test_drafts_of_a_head_are_those_of_a_run_from_scratch(with_head: Path) -> None:
    """While guesses before them turn out right and wrong, and prompts come in chunks."""
    engine = speculating_engine(
        with_head,
        model="mtp",
        speculator=Prophet(rate=0.7, model="mtp"),
        max_step_tokens=20,
        prefix_caching=False,
    )
    assert_as_without(engine, plain_engine(with_head, prefix_caching=False), requests(6))
    made, decoder = recorded(engine), load_alone(with_head)
    assert len(made) > 20
    drafted, accepted = counts(engine)
    assert drafted - 10 > accepted > 20
    for known, drafts in made[::2]:
        assert drafts == drafted_by_head(decoder, known, len(drafts))


def test_drafts_of_a_model_are_those_of_a_run_from_scratch(
    sharp_model: Path, other_model: Path
) -> None:
    engine = speculating_engine(
        sharp_model,
        model="draft",
        draft=other_model,
        speculator=Prophet(rate=0.7, model="draft"),
        max_step_tokens=20,
    )
    assert_as_without(engine, plain_engine(sharp_model), requests(6))
    made, decoder = recorded(engine), load_alone(other_model)
    assert len(made) > 20
    drafted, accepted = counts(engine)
    assert drafted - 10 > accepted > 20
    for known, drafts in made[::2]:
        assert drafts == continued(decoder, known, len(drafts), 272)


def test_a_model_that_drafts_for_itself_is_always_right(sharp_model: Path) -> None:
    engine = speculating_engine(sharp_model, model="draft", draft=sharp_model)
    outcome = answer(engine, random_tokens(1, 70), replace(GREEDY, max_tokens=60))
    drafted, accepted = counts(engine)
    assert drafted == accepted > 40
    expected = answer(
        plain_engine(sharp_model), random_tokens(1, 70), replace(GREEDY, max_tokens=60)
    )
    assert outcome.token_ids == expected.token_ids


@pytest.mark.parametrize(("rate", "run_ahead"), [(0.3, False), (0.9, True)])
@pytest.mark.parametrize("model", ["sharp", "recurrent"])
def test_answers_do_not_change(
    sharp_model: Path, with_head: Path, model: str, rate: float, run_ahead: bool
) -> None:
    """With chunked prompts, shared beginnings, preemption, and guesses more or less right."""
    folder = sharp_model if model == "sharp" else with_head
    engine = speculating_engine(
        folder,
        speculator=Prophet(rate=rate),
        run_ahead=run_ahead,
        kv_cache_tokens=448,
        max_batch=4,
        max_step_tokens=48,
    )
    assert_as_without(engine, plain_engine(folder, prefix_caching=False), requests(12))
    drafted, accepted = counts(engine)
    assert drafted > 60
    assert accepted > 10


@pytest.mark.parametrize("source", ["ngram", "draft", "mtp"])
def test_answers_do_not_change_by_what_drafts(
    sharp_model: Path, with_head: Path, other_model: Path, source: str
) -> None:
    engine = speculating_engine(
        with_head if source == "mtp" else sharp_model,
        look_up=True,
        model=None if source == "ngram" else source,  # type: ignore[arg-type]
        draft=other_model if source == "draft" else None,
        run_ahead=True,
        max_batch=4,
        max_step_tokens=48,
    )
    plain = plain_engine(Path(engine.info.name), prefix_caching=False)
    assert_as_without(engine, plain, requests(6))
    assert counts(engine)[0] > 10


def test_an_answer_may_end_within_drafts(sharp_model: Path) -> None:
    engine = speculating_engine(sharp_model, model="draft", draft=sharp_model)
    plain = plain_engine(sharp_model)
    for length in range(1, 12):
        params = SamplingParams(temperature=0, max_tokens=length, ignore_eos=True)
        got, wanted = (answer(one, random_tokens(5, 60), params) for one in (engine, plain))
        assert got.token_ids == wanted.token_ids
        assert len(got.token_ids) == length


@pytest.mark.parametrize("speculation", ["auto", "ngram", "mtp", "draft"])
def test_settings_reach_the_engine(
    with_head: Path, sharp_model: Path, other_model: Path, speculation: str
) -> None:
    """As a user has it: what drafts is loaded, pays or not, and answers stay the same."""
    folder = with_head if speculation == "mtp" else sharp_model
    plain = config_of(folder, prefix_caching=False)
    draft = str(sharp_model) if speculation == "draft" else None
    engine = load(replace(plain, speculation=speculation, draft_model=draft))
    assert_as_without(engine, load(plain), requests(4))
    loop = tuple(random_tokens(2, 6)) * 12
    run(engine, [Request("loop", token_ids=loop, sampling=replace(GREEDY, max_tokens=80))])
    assert engine.stats().drafted_tokens > 0
    if speculation == "draft":
        assert engine.stats().accepted_tokens > 0
    engine.check_pages()


def test_a_recurrent_draft_model_is_refused(with_head: Path, sharp_model: Path) -> None:
    with pytest.raises(RequestError, match="has recurrent layers"):
        load(replace(config_of(sharp_model), speculation="draft", draft_model=str(with_head)))
