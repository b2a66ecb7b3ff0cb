"""What a kept conversation consists of; no SQL."""

from dataclasses import dataclass
from typing import Literal

from localfp4.messages import FinishReason, ToolCall

Role = Literal["user", "assistant", "summary"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said, with its place in the tree that a conversation is.

    Attributes:
        id: Counts from 1 within its conversation.
        parent: The turn it follows; ``None`` for a first one. Turns with the same parent are
            alternatives: an edited question, an answer written again.
        role: Who spoke. A ``summary`` stands for all that came before it.
        content: What was said.
        reasoning: What the model thought before.
        tool_calls: What an answer called.
        model: Who answered; empty for the user.
        finish: Why an answer ended; ``None`` for the user's turns and for one that was broken off.
        output_tokens: Tokens of an answer, thinking included.
        thinking_tokens: Those of them that were thought.
        thinking_s: Seconds that took.
        tokens_per_s: Of an answer after its first token; 0 where unknown.
        ttft_s: Time to first token in seconds; 0 where unknown.
        joules: Energy that the device took for an answer; ``None`` where unknown.
    """

    id: int
    parent: int | None
    role: Role
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    finish: FinishReason | None = None
    output_tokens: int = 0
    thinking_tokens: int = 0
    thinking_s: float = 0.0
    tokens_per_s: float = 0.0
    ttft_s: float = 0.0
    joules: float | None = None


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """A conversation as it was kept.

    Attributes:
        id: In the history.
        title: Its name; empty where it has none.
        model: Who it was held with last.
        system: Its system prompt, or ``None``.
        turns: All of them, of every branch, by id.
        leaf: Where the branch on the screen ended; ``None`` for one without turns.
    """

    id: int
    title: str
    model: str
    system: str | None
    turns: tuple[Turn, ...]
    leaf: int | None

    @property
    def branch(self) -> tuple[Turn, ...]:
        """The turns that were on the screen, the oldest first."""
        turns = {turn.id: turn for turn in self.turns}
        branch = []
        at = turns.get(self.leaf) if self.leaf is not None else None
        while at is not None:
            branch.append(at)
            at = turns.get(at.parent) if at.parent is not None else None
        return tuple(branch[::-1])


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list of conversations.

    Attributes:
        id: In the history.
        title: Its name, or the beginning of its first question.
        model: Who it was held with last.
        turns: How many there are.
        updated_at: When it changed last: UTC, as ``YYYY-MM-DD HH:MM:SS``.
    """

    id: int
    title: str
    model: str
    turns: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class Match:
    """A turn that a search has found.

    Attributes:
        summary: The conversation it belongs to.
        turn: Its id there.
        role: Who spoke.
        excerpt: Text around what was found, as one line.
        found: Where the words that were searched for stand in ``excerpt``: start and end.
    """

    summary: Summary
    turn: int
    role: Role
    excerpt: str
    found: tuple[tuple[int, int], ...] = ()
