"""Tokens that were checked against drafts have the model's own distribution."""

from collections import Counter
from pathlib import Path

import pytest

from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.runner.work import Draw, Work
from tests.engine.traffic import last_logits, random_tokens
from tests.runner.drafting import plain_engine

SAMPLES = 1500
TOP = 6
TEMPERATURE = 0.5
LIMIT = 25.7
"""A chi-square variable of at most 5 degrees of freedom is above this once in 10 000 times."""
PARAMS = SamplingParams(temperature=TEMPERATURE, top_k=TOP)


@pytest.fixture(scope="module")
def engine(sharp_model: Path) -> Engine:
    return plain_engine(sharp_model, kv_cache_tokens=256)


def drawn_with(
    engine: Engine, prompt: list[int], drafts: tuple[int, ...], samples: int = SAMPLES
) -> list[list[int]]:
    """Return the accepted drafts and the token after them for each of many seeds."""
    runner, tokens = engine._model.runner, list(prompt)
    pages = [[0, 1]]
    runner.run([Work(tokens, 0, len(tokens) - 1, pages, False, draw=None)])
    sampled = []
    for first in range(0, samples, 100):
        work = [
            # All of them write the same keys and values to the same places.
            Work(
                tokens,
                len(tokens) - 1,
                len(tokens),
                pages,
                True,
                Draw(PARAMS, tokens, len(tokens), seed),
                drafts=drafts,
            )
            for seed in range(first, first + 100)
        ]
        sampled += [[s.token_id for s in result.sampled] for result in runner.run(work)]
    return sampled


def probabilities(engine: Engine, tokens: list[int], temperature: float) -> dict[int, float]:
    values, ids = last_logits(engine, tokens)[0].double().topk(TOP)
    return dict(zip(ids.tolist(), (values / temperature).softmax(0).tolist(), strict=True))


def chi_square(counts: Counter[int], expected: dict[int, float]) -> float:
    assert set(counts) <= set(expected)
    total = counts.total()
    return sum((counts[t] - p * total) ** 2 / (p * total) for t, p in expected.items())


def test_sampled_tokens_have_the_models_distribution(engine: Engine) -> None:
    prompt = random_tokens(23, 60)
    first = probabilities(engine, prompt, TEMPERATURE)
    guess = max(first, key=first.__getitem__)
    second = probabilities(engine, [*prompt, guess], TEMPERATURE)
    other = max(second, key=second.__getitem__)
    sampled = drawn_with(engine, prompt, (guess, other))

    assert chi_square(Counter(one[0] for one in sampled), first) < LIMIT
    after_guess = [one[1] for one in sampled if one[0] == guess]
    assert len(after_guess) == sum(len(one) > 1 for one in sampled) > SAMPLES / TOP
    assert chi_square(Counter(after_guess), second) < LIMIT
    after_both = Counter(one[2] for one in sampled if len(one) > 2)
    assert after_both.total() == Counter(after_guess)[other] > 30
    third = probabilities(engine, [*prompt, guess, other], TEMPERATURE)
    assert chi_square(after_both, third) < LIMIT


def test_another_distribution_is_noticed(engine: Engine) -> None:
    """The negative control: a higher temperature."""
    prompt = random_tokens(23, 60)
    sampled = drawn_with(engine, prompt, (1,))
    assert (
        chi_square(
            Counter(one[0] for one in sampled), probabilities(engine, prompt, 2 * TEMPERATURE)
        )
        > LIMIT
    )


def test_drafts_change_no_draw(engine: Engine) -> None:
    """Nor do they where a draft is right: each token depends on its seed and place alone."""
    prompt = random_tokens(23, 60)
    first = probabilities(engine, prompt, TEMPERATURE)
    guess = max(first, key=first.__getitem__)
    without, with_wrong, with_likely = (
        drawn_with(engine, prompt, drafts, 300) for drafts in ((), (1, 2, 3), (guess, 7))
    )
    assert without == [one[:1] for one in with_wrong] == [one[:1] for one in with_likely]
    assert any(len(one) > 1 for one in with_likely)
