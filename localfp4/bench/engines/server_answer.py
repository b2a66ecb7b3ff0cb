"""From the lines of a streamed answer to the moments in which its tokens came.

Servers say how many tokens a piece has in different ways: vLLM sends their ids where it is asked
to, llama.cpp how many it has made so far. Of others only the sum is known, which is spread over the
pieces; and of some not even that, so that every piece counts as one token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localfp4.bench.engines.server_stream import Stamped
from localfp4.remote.errors import ServerError
from localfp4.remote.stream import parsed
from localfp4.remote.usage import Usage, read_usage
from localfp4.remote.words import message_in, one_line

_TEXTS = ("text", "content", "reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        arrivals: When each token came.
        pieces: In how many pieces.
        usage: What the server says of it.
        fingerprint: Its ``system_fingerprint``, which names a version; empty where it has none.
    """

    arrivals: Sequence[float]
    pieces: int
    usage: Usage = field(default_factory=Usage)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    at: float
    has_text: bool
    tokens: int | None


def read_answer(lines: Sequence[Stamped]) -> Answer:
    """Read what a server streamed.

    Raises:
        ServerError: It is not JSON, tells an error, or breaks off.
    """
    events = [(line.at, parsed(line.data)) for line in lines]
    pieces: list[_Piece] = []
    usage, fingerprint, has_ended, made = Usage(), "", False, 0
    for at, event in events:
        if event.get("error"):
            raise ServerError(f"The server broke off: {one_line(message_in(event))}.")
        told = read_usage(event)
        usage = told if told.completion_tokens is not None else usage
        fingerprint = str(event.get("system_fingerprint") or fingerprint)
        choice = _choice(event)
        has_ended = has_ended or bool(choice.get("finish_reason"))
        tokens = _tokens(event, choice, made)
        made += tokens or 0
        if (has_text := _has_text(choice)) or tokens:
            pieces.append(_Piece(at, has_text, tokens))
    if not has_ended and usage.completion_tokens is None:
        raise ServerError("The server closed the connection in the middle of an answer.")
    return Answer(_arrivals(pieces, usage.completion_tokens), len(pieces), usage, fingerprint)


def spread(moments: Sequence[float], tokens: int) -> list[float]:
    """Give tokens the moments of pieces, evenly: the first has the first, the last the last."""
    if not moments or tokens < 1:
        return []
    last, gaps = len(moments) - 1, max(tokens - 1, 1)
    return [moments[(2 * number * last + gaps) // (2 * gaps)] for number in range(tokens)]


def _arrivals(pieces: Sequence[_Piece], total: int | None) -> list[float]:
    """Return when each token came, as many as the server says there are."""
    counts = [piece.tokens for piece in pieces]
    counted = [count for count in counts if count is not None]
    if counted and len(counted) == len(counts) and total in (None, sum(counted)):
        pairs = zip(pieces, counted, strict=True)
        return [piece.at for piece, count in pairs for _ in range(count)]
    moments = [piece.at for piece in pieces if piece.has_text]
    return spread(moments, len(moments) if total is None else total)


def _choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _has_text(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta")
    told = delta if isinstance(delta, dict) else choice
    return any(told.get(name) for name in _TEXTS)


def _tokens(event: Mapping[str, Any], choice: Mapping[str, Any], made: int) -> int | None:
    """Return how many tokens a piece has; ``None`` where the server does not tell."""
    ids = choice.get("token_ids")
    if isinstance(ids, list):
        return len(ids)
    timings = event.get("timings")
    so_far = timings.get("predicted_n") if isinstance(timings, dict) else None
    return max(so_far - made, 0) if isinstance(so_far, int) else None
