"""What the chat needs of a place to keep conversations; ``localfp4.history`` provides it."""

from typing import Protocol

from localfp4.messages import ChatMessage


class History(Protocol):
    """Keeps conversations as they grow."""

    def start(self, model: str) -> int:
        """Open a new conversation and return its id."""

    def save(self, conversation: int, messages: list[ChatMessage]) -> None:
        """Write the whole conversation; called after every turn.

        Raises:
            UserError: It cannot be written; the message says where and what to do.
        """
