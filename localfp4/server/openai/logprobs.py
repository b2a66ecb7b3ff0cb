"""Log-probabilities in the shapes of chat completions, of completions, and of vLLM's prompts."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from localfp4.messages import PromptScored, TokenLogprob

_LEAST = -9999.0
"""What is written for a probability of 0, as JSON knows no infinity."""

_Alternative = tuple[int, float, str, bytes]
"""Id, log-probability, text and bytes of a token."""


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return ``logprobs`` of a choice of a chat completion."""
    return {"content": [_entry(token) for token in tokens], "refusal": None}


def completion_logprobs(
    tokens: Sequence[TokenLogprob],
    *,
    offset: int = 0,
    prompt: PromptScored | None = None,
    echo: str = "",
) -> dict[str, Any]:
    """Return ``logprobs`` of a choice of a completion.

    Args:
        tokens: Of the answer.
        offset: Characters before the first of them.
        prompt: Comes first where it is echoed; its first token has no probability.
        echo: What the prompt says; a token that only marks its beginning is no part of it.
    """
    entries: list[tuple[str, float | None, dict[str, float] | None]] = []
    widths = []
    if prompt is not None:
        first = prompt.first_text
        entries.append((first, None, None))
        widths.append(len(first) if echo.startswith(first) else 0)
        offset = 0
        tokens = [*prompt.logprobs, *tokens]
    entries += [(_name(t.text, t.raw), _finite(t.logprob), _by_name(t)) for t in tokens]
    widths += map(width, tokens)
    return {
        "tokens": [name for name, _, _ in entries],
        "token_logprobs": [logprob for _, logprob, _ in entries],
        "top_logprobs": [top for _, _, top in entries],
        "text_offset": list(accumulate(widths, initial=offset))[: len(widths)],
    }


def prompt_logprobs(scored: PromptScored) -> list[dict[str, Any] | None]:
    """Return vLLM's ``prompt_logprobs``: tokens by their ids, and nothing for the first place."""
    return [None, *(_ranked(token) for token in scored.logprobs)]


def width(token: TokenLogprob) -> int:
    """Return how many characters begin in a token."""
    return sum(byte & 0xC0 != 0x80 for byte in token.raw or token.text.encode())


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return {
        **_spelled(token.text, token.raw, token.logprob),
        "top_logprobs": [_spelled(text, raw, logprob) for _, logprob, text, raw in _others(token)],
    }


def _spelled(text: str, raw: bytes, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": _finite(logprob), "bytes": list(raw or text.encode())}


def _by_name(token: TokenLogprob) -> dict[str, float]:
    """Return the alternatives and the token itself; of those named alike the most probable."""
    by_name: dict[str, float] = {}
    for _, logprob, text, raw in _others(token):
        by_name.setdefault(_name(text, raw), _finite(logprob))
    by_name.setdefault(_name(token.text, token.raw), _finite(token.logprob))
    return by_name


def _name(text: str, raw: bytes) -> str:
    """Return what a token spells; a part of a character as OpenAI's API writes it."""
    if not raw or raw == text.encode():
        return text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def _ranked(token: TokenLogprob) -> dict[str, Any]:
    entries = {
        str(token_id): {"logprob": _finite(logprob), "rank": rank, "decoded_token": text}
        for rank, (token_id, logprob, text, _) in enumerate(_others(token), start=1)
    }
    own = {"logprob": _finite(token.logprob), "rank": None, "decoded_token": token.text}
    return {str(token.token_id): own} | entries


def _others(token: TokenLogprob) -> Iterable[_Alternative]:
    """Yield the alternatives, the most probable first; texts are missing without a tokenizer."""
    for place, (token_id, logprob) in enumerate(token.top):
        text = token.top_texts[place] if token.top_texts else f"token_id:{token_id}"
        yield token_id, logprob, text, token.top_raw[place] if token.top_raw else b""


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
