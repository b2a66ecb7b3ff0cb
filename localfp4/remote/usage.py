"""What a server says that an answer took."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request; ``None`` where the server does not tell.

    Attributes:
        prompt_tokens: Length of the prompt.
        completion_tokens: Length of the answer.
        cached_tokens: Of the prompt, those that were not computed.
        reasoning_tokens: Of the answer, those that were thought before it.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


def read_usage(event: object) -> Usage:
    """Return the usage that an event or an answer tells; Ollama sends zeros until the last event."""
    told = event.get("usage") if isinstance(event, dict) else None
    if not isinstance(told, dict) or not told.get("completion_tokens"):
        return Usage()
    return Usage(
        _count(told.get("prompt_tokens")),
        _count(told["completion_tokens"]),
        _detail(told, "prompt_tokens_details", "cached_tokens"),
        _detail(told, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(told: dict[str, object], group: str, name: str) -> int | None:
    details = told.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
