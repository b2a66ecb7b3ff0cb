"""What fills the context of a conversation, in tokens, and what goes next; no widgets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from localfp4_tui.conversation import Conversation
from localfp4_tui.formatting import count_of, format_count, one_line

Kind = Literal["system", "summary", "user", "assistant", "template", "reserve", "free"]
SAID: tuple[Kind, ...] = ("system", "summary", "user", "assistant")


@dataclass(frozen=True, slots=True)
class ContextPart:
    """Something that is in the context, or is kept free.

    Attributes:
        kind: What it is.
        text: What was said; empty for what nobody said.
        tokens: How many it has.
        goes: Whether it is left out of the next request, as there is no room for it.
    """

    kind: Kind
    text: str = ""
    tokens: int = 0
    goes: bool = False


@dataclass(frozen=True, slots=True)
class Filling:
    """A context and what is in it.

    Attributes:
        parts: In the order in which the model reads them, then what is kept for the answer and
            what is free.
        limit: Tokens that the context holds.
    """

    parts: tuple[ContextPart, ...]
    limit: int

    @property
    def used(self) -> int:
        """Tokens of what the model reads."""
        kinds = (*SAID, "template")
        return sum(part.tokens for part in self.parts if part.kind in kinds and not part.goes)

    @property
    def free(self) -> int:
        """Tokens until something has to go."""
        return sum(part.tokens for part in self.parts if part.kind == "free")

    @property
    def outlook(self) -> str:
        """Say what goes next."""
        gone = [part for part in self.parts if part.goes]
        if gone:
            turns = count_of(len(gone), "turn")
            return f"There is no room for the oldest {turns}: the model no longer reads them."
        first = next((part for part in self.parts if part.kind in ("user", "assistant")), None)
        if first is None:
            return "Nothing was said yet."
        words = one_line(first.text)[:40]
        left = format_count(self.free)
        return f"After {left} more tokens the oldest turns are left out, from “{words}” on."


def said_in(conversation: Conversation) -> list[ContextPart]:
    """Return what a request would consist of, not counted yet."""
    parts: list[ContextPart] = []
    for turn in conversation.branch:
        if turn.role == "summary":
            parts.clear()
        parts.append(ContextPart(turn.role, turn.content))
    system = [ContextPart("system", conversation.system)] if conversation.system else []
    return [*system, *parts]


def fill(
    said: Sequence[ContextPart],
    counts: Sequence[int],
    *,
    limit: int,
    context_tokens: int,
    max_tokens: int | None,
) -> Filling:
    """Put together what is in a context.

    Args:
        said: What a request would consist of.
        counts: The tokens of each text.
        limit: Tokens that the context holds.
        context_tokens: What the engine told of the whole, without thoughts; 0 where it has not.
        max_tokens: Longest answer that is asked for.
    """
    parts = [replace(part, tokens=count) for part, count in zip(said, counts, strict=True)]
    template = max(0, context_tokens - sum(counts))
    reserve = reserve_for_answer(limit, max_tokens)
    room = limit - reserve - template
    parts = _without_room(parts, room)
    used = sum(part.tokens for part in parts if not part.goes)
    return Filling(
        parts=(
            *parts,
            ContextPart("template", tokens=template),
            ContextPart("reserve", tokens=reserve),
            ContextPart("free", tokens=max(0, room - used)),
        ),
        limit=limit,
    )


def reserve_for_answer(limit: int, max_tokens: int | None) -> int:
    """Return the tokens that old turns make room for: a quarter of the context at most."""
    quarter = max(1, limit // 4)
    return min(max_tokens or quarter, quarter)


def _without_room(parts: list[ContextPart], room: int) -> list[ContextPart]:
    """Mark what goes: the oldest questions with their answers, never the system prompt."""
    marked = list(parts)
    first = 1 if parts and parts[0].kind == "system" else 0
    used = sum(part.tokens for part in parts)
    last = max((n for n, part in enumerate(parts) if part.kind == "user"), default=len(parts))
    for index in range(first, last):
        begins = parts[index].kind != "assistant" or index == first
        if begins and used <= room:
            break
        marked[index] = replace(parts[index], goes=True)
        used -= parts[index].tokens
    return marked
