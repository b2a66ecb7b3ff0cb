"""The turns of one conversation, as the engine and the history get them; no widgets."""

from dataclasses import dataclass, field

from localfp4.messages import ChatMessage


@dataclass
class Conversation:
    """A system prompt and the turns after it, user and assistant by turns.

    Attributes:
        system: Text of the system turn, or ``None``.
        turns: Everything said so far, the newest last.
        saved_as: Id in the history, once it has been saved.
    """

    system: str | None = None
    turns: list[ChatMessage] = field(default_factory=list)
    saved_as: int | None = None

    def messages(self) -> tuple[ChatMessage, ...]:
        """Return all turns, the system turn first."""
        system = (ChatMessage(role="system", content=self.system),) if self.system else ()
        return (*system, *self.turns)

    def ask(self, text: str) -> None:
        """Add a user turn."""
        self.turns.append(ChatMessage(role="user", content=text))

    def answer(self, text: str) -> None:
        """Add an assistant turn."""
        self.turns.append(ChatMessage(role="assistant", content=text))

    def take_back(self) -> str:
        """Remove the newest turn and return its text."""
        return self.turns.pop()["content"]

    def last(self, role: str) -> str | None:
        """Return the text of the newest turn of a role, or ``None``."""
        return next((t["content"] for t in reversed(self.turns) if t["role"] == role), None)

    @property
    def is_answered(self) -> bool:
        """Whether the newest turn is an answer, which can be generated again."""
        return bool(self.turns) and self.turns[-1]["role"] == "assistant"
