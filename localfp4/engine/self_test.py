"""A first sign of life: does a freshly loaded model predict plain English better than chance?

A checkpoint that was exported wrongly, or is read wrongly, still runs; it merely answers nonsense.
One short prompt and a few tokens tell, and the user is told in words.
"""

import math
from collections.abc import Iterator, Sequence

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.runner import Runner, StepResult
from localfp4.runner.sampler import Sampled
from localfp4.runner.work import Collect, Draw, Work
from localfp4.text.tokenizer import Tokenizer

CANARY = (
    "NVFP4 stores numbers in 4 bits. Groups of 16 share a scale in FP8, and a whole tensor shares "
    "one FP32 scale. The KV cache keeps the keys and values of the tokens that were read before."
)
"""Plain words that the bundled demo, too, was trained to say: it is small and knows few others."""

_MOST_OF_CHANCE = 0.75
"""A model whose mean surprise is above this share of ``ln(vocab_size)`` knows hardly any English.

On the canary the bundled demo has 0.42 of it, and 1.16 with the two codes of each byte swapped."""

_CONTINUED_TOKENS = 8
_LONGEST_PERIOD = 2

_CONSEQUENCE = "its answers are likely nonsense: the checkpoint may be damaged or wrongly exported."
_GREEDY = SamplingParams(temperature=0.0)


def self_test(
    runner: Runner, tokenizer: Tokenizer | None, vocab_size: int, room: int, max_step_tokens: int
) -> tuple[str, ...]:
    """Run the canary on an idle model; return what is wrong with it, a sentence each.

    A model predicts plain text far better than by taking every token for equally likely, which has
    a mean log-probability of ``-ln(vocab_size)``; weights that are read wrongly do not.
    Without a tokenizer only the numbers themselves can be checked.

    Args:
        runner: The model with its caches, of which the first pages are overwritten.
        tokenizer: Of the model, if it has one.
        vocab_size: Width of the logits.
        room: Tokens that the cache holds.
        max_step_tokens: Most tokens in one step.
    """
    tokens = [index % vocab_size for index in range(3, 35)]
    if tokenizer is not None:
        tokens = tokenizer.encode(CANARY)
    if max(tokens) >= vocab_size:
        return (
            f"The tokenizer writes token {max(tokens)}, and the model knows {vocab_size}: "
            "tokenizer.json is probably another model's; download it again.",
        )
    tokens = tokens[: room - _CONTINUED_TOKENS]
    if len(tokens) < 2:
        return ()
    scores = _scores(runner, tokens, max_step_tokens)
    if not all(map(math.isfinite, scores)):
        return (f"The model computes numbers that are not finite, so {_CONSEQUENCE}",)
    if tokenizer is None:
        return ()
    if sum(scores) / len(scores) < -_MOST_OF_CHANCE * math.log(vocab_size):
        return (f"The model predicts plain English hardly better than chance, so {_CONSEQUENCE}",)
    if _repeats(_continuation(runner, tokens, max_step_tokens)):
        return (f"The model repeats itself from the first word on, so {_CONSEQUENCE}",)
    return ()


def _scores(runner: Runner, tokens: Sequence[int], max_step_tokens: int) -> list[float]:
    """Return the log-probability of each token after the first."""
    scores: list[float] = []
    for start, end in _chunks(len(tokens), max_step_tokens):
        scores += _run(runner, tokens, start, end, collect=Collect.SCORES).scores
    return scores


def _continuation(runner: Runner, tokens: Sequence[int], max_step_tokens: int) -> list[int]:
    """Return the likeliest tokens after a prompt.

    The prompt is computed anew: recurrent layers must not take its last token in twice.
    """
    text = list(tokens)
    sampled: tuple[Sampled, ...] = ()
    for start, end in _chunks(len(tokens), max_step_tokens):
        draw = Draw(_GREEDY, text, len(tokens), seed=0) if end == len(tokens) else None
        sampled = _run(runner, text, start, end, draw=draw).sampled
    while sampled and len(text) < len(tokens) + _CONTINUED_TOKENS:
        text.append(sampled[0].token_id)
        draw = Draw(_GREEDY, text, len(tokens), seed=0)
        end = len(text)
        sampled = _run(runner, text, end - 1, end, draw=draw, is_decode=True).sampled
    return text[len(tokens) :]


def _chunks(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield the beginnings and ends of runs of at most ``most`` tokens."""
    for start in range(0, count, most):
        yield start, min(start + most, count)


def _run(
    runner: Runner,
    tokens: Sequence[int],
    start: int,
    end: int,
    *,
    draw: Draw | None = None,
    collect: Collect = Collect.NOTHING,
    is_decode: bool = False,
) -> StepResult:
    pages = [range(-(-end // PAGE_SIZE))] * len(kv_groups(runner.decoder.spec))
    slot = 0 if runner.decoder.spec.is_recurrent else None
    [result] = runner.run([Work(tokens, start, end, pages, is_decode, draw, collect, slot=slot)])
    return result


def _repeats(tokens: Sequence[int]) -> bool:
    """Say whether tokens are one or two over and over."""
    return any(
        list(tokens[period:]) == list(tokens[:-period]) for period in range(1, _LONGEST_PERIOD + 1)
    )
