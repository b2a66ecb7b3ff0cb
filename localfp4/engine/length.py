"""How long prompts are before they are encoded: torch-free, and without a tokenizer where it can be.

A tokenizer takes two seconds for a million characters, which is for nothing where the context holds
a tenth of them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from localfp4.engine.counting import batches
from localfp4.messages import Request

_FEWEST_PER_TOKEN = 8
"""Characters per token that texts hardly have: English has 4 to 5, most others and programs less."""

_CHEAP = 2**18
"""Characters that are encoded in half a second, for the sake of an exact number in the refusal."""

_CERTAINLY = 2
"""Times too long that pieces must be together, as they may have more tokens than the whole."""


def characters(request: Request) -> int:
    """Return how many characters the texts of a request have, tools and all."""
    count = 0
    rest: list[Any] = [request.prompt, request.messages, request.tools]
    while rest:
        match rest.pop():
            case str() as text:
                count += len(text)
            case dict() as entries:
                rest += entries.values()
            case list() | tuple() as items:
                rest += items
    return count


def is_certainly_longer(request: Request, tokens: int, count: Callable[[str], int]) -> bool:
    """Say whether a prompt has more than some tokens, where that is certain before it is encoded.

    It takes no longer than encoding a prompt of twice as many; most prompts are not looked at.

    Args:
        request: What is asked.
        tokens: How many there may be.
        count: Counts the tokens of a text by itself.
    """
    if characters(request) <= max(_FEWEST_PER_TOKEN * tokens, _CHEAP):
        return False
    found = 0
    for batch in batches(list(_kept_texts(request))):
        found += sum(count(piece) for _, piece in batch)
        if found > _CERTAINLY * tokens:
            return True
    return False


def _kept_texts(request: Request) -> Iterator[str]:
    """Yield texts that are in the prompt whatever a template is: some leave thoughts out."""
    if request.prompt is not None:
        yield request.prompt
    for message in request.messages or ():
        content = message.get("content")
        if message.get("role") in ("system", "developer", "user") and isinstance(content, str):
            yield content
