"""A request whose answer repeats what stands in the prompt, as edits of code and quotes do."""

import time
from dataclasses import dataclass

from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Delta, Request

PASSAGE = "The KV cache keeps the keys and values of the tokens that were read before. "


def copy_heavy(passage: list[int], tokens: int = 256, copies: int = 8) -> Request:
    """Return a request that reads a passage again and again, which models then go on with.

    The demo is too small to copy what it reads, but it soon repeats what it has said itself.

    Args:
        passage: Token ids of the passage.
        tokens: Length of the answer.
        copies: How often the passage stands in the prompt.
    """
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    return Request("copy", token_ids=tuple(passage * copies), sampling=params)


@dataclass(frozen=True)
class Timed:
    """An answer and how fast it came, without its first token."""

    token_ids: list[int]
    steps: int
    tokens_per_s: float


def timed(engine: Engine, request: Request) -> Timed:
    """Run a request alone."""
    engine.add(request)
    token_ids: list[int] = []
    steps, begun = 0, 0.0
    while engine.has_work():
        events = engine.step()
        for event in events:
            if isinstance(event, Delta):
                begun = begun or time.perf_counter()
                token_ids += event.token_ids
        steps += bool(begun)
    return Timed(token_ids, steps, (len(token_ids) - 1) / (time.perf_counter() - begun))
