"""A conversation that comes in pieces, put together as the engine takes it.

Some APIs have a block or an item for what chat templates want in one turn: an answer's thoughts,
its text and its calls. Neighbouring pieces of one side become one turn, for many templates insist
that the sides take turns.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localfp4.messages import ChatMessage

BREAK = "\n\n"
"""What stands between pieces of a turn, which are paragraphs at least."""

LEFT_OUT = "[An image or a file was here, which this model cannot read.]"
"""What a model is told of what a tool returned beside text. To refuse it would end conversations
that go on by themselves."""


@dataclass(slots=True)
class _Turn:
    """A turn in its pieces: to join them one by one takes time by the square of their number."""

    role: str
    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def message(self) -> ChatMessage:
        """Return the turn as the engine takes it."""
        message: ChatMessage = {"role": self.role, "content": _joined(self.said)}
        if thought := _joined(self.thought):
            message["reasoning_content"] = thought
        if self.calls:
            message["tool_calls"] = self.calls
        return message


@dataclass(frozen=True, slots=True)
class _Result:
    """What a call has led to."""

    call_id: str
    name: str | None
    text: str
    role: str = "tool"

    def message(self) -> ChatMessage:
        """Return the turn as the engine takes it."""
        turn: ChatMessage = {"role": self.role, "content": self.text, "tool_call_id": self.call_id}
        if self.name:
            turn["name"] = self.name
        return turn


@dataclass
class Turns:
    """The turns so far."""

    _turns: list[_Turn | _Result] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def messages(self) -> tuple[ChatMessage, ...]:
        """Return the conversation."""
        return tuple(turn.message() for turn in self._turns)

    def instruct(self, text: str) -> None:
        """Add instructions.

        Those at the head are the system turn. Most templates know none further on, so that later
        ones are said to the model in the user's turn, marked for what they are.
        """
        if not self._turns or self._turns[-1].role == "system":
            self._turn("system").said.append(text)
        else:
            self.ask(f"<system-reminder>\n{text}\n</system-reminder>")

    def ask(self, text: str) -> None:
        """Add to what the user says."""
        self._turn("user").said.append(text)

    def think(self, text: str) -> None:
        """Add to what an answer thought."""
        self._turn("assistant").thought.append(text)

    def answer(self, text: str) -> None:
        """Add to what an answer said."""
        self._turn("assistant").said.append(text)

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """Add a call to an answer; arguments are JSON."""
        self._names[call_id] = name
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        self._turn("assistant").calls.append(call)

    def result(self, call_id: str, text: str) -> None:
        """Add what a call has led to."""
        self._turns.append(_Result(call_id, self._names.get(call_id), text))

    def _turn(self, role: str) -> _Turn:
        """Return the turn that the next piece of a side belongs to."""
        last = self._turns[-1] if self._turns else None
        if not isinstance(last, _Turn) or last.role != role:
            last = _Turn(role)
            self._turns.append(last)
        return last


def _joined(pieces: Iterable[str]) -> str:
    return BREAK.join(piece for piece in pieces if piece)
