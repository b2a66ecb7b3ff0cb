"""The turns of one conversation, a tree whose branches can be switched; no widgets, no SQL."""

from collections.abc import Iterable
from typing import Any

from localfp4.history import SavedConversation, Turn
from localfp4.history.turns import Role
from localfp4.messages import ChatMessage

SUMMARY_OPENS = "What was said before, in short:"
LONGEST_TITLE = 60


class Conversation:
    """A system prompt, and turns that each follow another.

    What is on the screen and what the model gets is one branch: the turns from a first one to
    the leaf.

    Attributes:
        system: Text of the system turn, or ``None``.
        title: Its name; empty until it has one.
        saved_as: Id in the history, once it has been saved.
        leaf: Id of the newest turn of the branch; ``None`` without any.
    """

    def __init__(
        self,
        system: str | None = None,
        turns: Iterable[Turn] = (),
        *,
        leaf: int | None = None,
        title: str = "",
        saved_as: int | None = None,
    ) -> None:
        self.system = system
        self.title = title
        self.saved_as = saved_as
        self.leaf: int | None = None
        self._turns: dict[int, Turn] = {}
        self._followers: dict[int | None, list[int]] = {}
        self._shown: dict[int | None, int] = {}
        for turn in sorted(turns, key=lambda turn: turn.id):
            self.put(turn)
        if leaf is not None and leaf in self._turns:
            self.leaf = self._end_of(leaf)

    @classmethod
    def resumed(cls, saved: SavedConversation) -> "Conversation":
        """Return a conversation as it was kept."""
        return cls(saved.system, saved.turns, leaf=saved.leaf, title=saved.title, saved_as=saved.id)

    def kept(self, model: str) -> SavedConversation:
        """Return all of it as it is kept."""
        return SavedConversation(
            self.saved_as or 0, self.title, model, self.system, tuple(self.all_turns), self.leaf
        )

    @property
    def branch(self) -> list[Turn]:
        """The turns on the screen, the oldest first."""
        turns: list[Turn] = []
        at = self.leaf
        while at is not None:
            turns.append(self._turns[at])
            at = self._turns[at].parent
        return turns[::-1]

    @property
    def all_turns(self) -> list[Turn]:
        """The turns of every branch, by id."""
        return [self._turns[id_] for id_ in sorted(self._turns)]

    def __contains__(self, id_: int) -> bool:
        """Return whether there is a turn of an id; an answer being written is none yet."""
        return id_ in self._turns

    def turn(self, id_: int) -> Turn:
        """Return a turn by its id."""
        return self._turns[id_]

    def draft(self, role: Role, content: str = "", **facts: Any) -> Turn:
        """Return a turn that would follow the leaf; :meth:`put` makes it part of this.

        Args:
            role: Who speaks.
            content: What is said.
            facts: Other fields of :class:`~localfp4.history.Turn`.
        """
        return Turn(max(self._turns, default=0) + 1, self.leaf, role, content, **facts)

    def put(self, turn: Turn) -> Turn:
        """Take in a turn: a new one, which becomes the leaf, or another state of one in here."""
        if turn.id not in self._turns:
            self._followers.setdefault(turn.parent, []).append(turn.id)
            self.leaf = turn.id
        self._turns[turn.id] = turn
        return turn

    def add(self, role: Role, content: str, **facts: Any) -> Turn:
        """Add a turn after the leaf, which it becomes."""
        return self.put(self.draft(role, content, **facts))

    def remove(self, id_: int) -> None:
        """Remove a turn that nothing follows; a branch that ended with it ends before it."""
        turn = self._turns.pop(id_)
        self._followers[turn.parent].remove(id_)
        if self.leaf == id_:
            self.leaf = turn.parent

    def alternatives(self, id_: int) -> list[Turn]:
        """Return a turn and those that follow the same turn in the same role, the oldest first."""
        turn = self._turns[id_]
        siblings = (self._turns[sibling] for sibling in self._followers[turn.parent])
        return [sibling for sibling in siblings if sibling.role == turn.role]

    def position(self, id_: int) -> tuple[int, int]:
        """Return which of how many alternatives a turn is, counting from 1."""
        ids = [turn.id for turn in self.alternatives(id_)]
        return ids.index(id_) + 1, len(ids)

    def switch(self, id_: int) -> None:
        """Show the branch through a turn, and after it what was shown last or else the newest."""
        for turn in self.branch:
            self._shown[turn.parent] = turn.id
        self.leaf = self._end_of(id_)

    def end_at(self, id_: int | None) -> None:
        """Let the branch end at a turn, or before the first one; what follows it is kept."""
        self.leaf = id_

    def last(self, role: Role) -> Turn | None:
        """Return the newest turn of a role on the branch, or ``None``."""
        return next((turn for turn in reversed(self.branch) if turn.role == role), None)

    def messages(self) -> tuple[ChatMessage, ...]:
        """Return what the model gets: the system turn, and the branch from its last summary on.

        Templates want the roles to alternate, so what the user said in two turns is one message,
        as is a summary and what the user said after it.
        """
        messages: list[ChatMessage] = []
        for turn in self.branch:
            if turn.role == "assistant":
                messages.append(ChatMessage(role="assistant", content=turn.content))
                if turn.reasoning:
                    messages[-1]["reasoning_content"] = turn.reasoning
            elif turn.role == "summary":
                messages = [ChatMessage(role="user", content=f"{SUMMARY_OPENS}\n\n{turn.content}")]
            elif messages and messages[-1]["role"] == "user":
                messages[-1]["content"] += f"\n\n{turn.content}"
            else:
                messages.append(ChatMessage(role="user", content=turn.content))
        system = [ChatMessage(role="system", content=self.system)] if self.system else []
        return (*system, *messages)

    @property
    def is_answered(self) -> bool:
        """Whether the newest turn is an answer."""
        return self.leaf is not None and self._turns[self.leaf].role == "assistant"

    def _end_of(self, id_: int) -> int:
        """Return the last turn that follows from one."""
        while following := self._followers.get(id_):
            shown = self._shown.get(id_)
            id_ = shown if shown in following else following[-1]
        return id_


def title_of(text: str) -> str:
    """Return a name for a conversation that begins with a text: its first line, shortened."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    if len(line) <= LONGEST_TITLE:
        return line
    cut = line[: LONGEST_TITLE - 1]
    whole_words = cut.rpartition(" ")[0]
    return (whole_words if len(whole_words) > LONGEST_TITLE // 2 else cut) + "…"
