"""The tree of turns: whatever is done to it, what is shown is a branch of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from localfp4.history import Turn
from localfp4_tui.conversation import SUMMARY_OPENS, Conversation, title_of

texts = st.text("abc \n", min_size=1, max_size=5)
picks = st.integers(0, 2**16)


class TreeMachine(RuleBasedStateMachine):
    """Does what the chat does, beside a list of (id, parent, role, content) that only grows."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation()
        self.said: dict[int, tuple[int | None, str, str]] = {}

    def _note(self, turn: Turn) -> None:
        assert turn.id not in self.said
        self.said[turn.id] = (turn.parent, turn.role, turn.content)

    def _pick(self, pick: int, role: str | None = None) -> Turn | None:
        turns = [turn for turn in self.conversation.all_turns if role in (None, turn.role)]
        return turns[pick % len(turns)] if turns else None

    @rule(question=texts, answer=texts)
    def ask(self, question: str, answer: str) -> None:
        self._note(self.conversation.add("user", question))
        self._note(self.conversation.add("assistant", answer))

    @rule(pick=picks, question=texts)
    def edit_in_vain_or_not(self, pick: int, question: str) -> None:
        edited = self._pick(pick, "user")
        if edited is None:
            return
        before = self.conversation.branch
        self.conversation.end_at(edited.parent)
        added = self.conversation.add("user", question)
        assert added in self.conversation.alternatives(edited.id)
        if pick % 2:
            self._note(added)
        else:
            self.conversation.remove(added.id)
            self.conversation.end_at(before[-1].id)
            assert self.conversation.branch == before

    @rule(pick=picks, answer=texts)
    def answer_again(self, pick: int, answer: str) -> None:
        question = self._pick(pick, "user")
        if question is None:
            return
        self.conversation.end_at(question.id)
        draft = self.conversation.draft("assistant", answer)
        assert draft not in self.conversation.all_turns
        self._note(self.conversation.put(draft))
        assert self.conversation.branch[-2:] == [question, draft]

    @precondition(lambda self: self.conversation.is_answered)
    @rule(more=texts)
    def go_on(self, more: str) -> None:
        branch = self.conversation.branch
        changed = Turn(branch[-1].id, branch[-1].parent, "assistant", branch[-1].content + more)
        self.conversation.put(changed)
        self.said[changed.id] = (changed.parent, "assistant", changed.content)
        assert self.conversation.branch == [*branch[:-1], changed]

    @precondition(lambda self: self.conversation.is_answered)
    @rule(summary=texts)
    def compact(self, summary: str) -> None:
        self._note(self.conversation.add("summary", summary))
        assert len(self.conversation.messages()) == 1

    @rule(pick=picks)
    def switch(self, pick: int) -> None:
        turn = self._pick(pick)
        if turn is None:
            return
        before = self.conversation.branch
        self.conversation.switch(turn.id)
        assert turn in self.conversation.branch
        if turn in before:
            assert self.conversation.branch == before

    @rule(pick=picks)
    def switch_there_and_back(self, pick: int) -> None:
        turn = self._pick(pick)
        if turn is None:
            return
        before = self.conversation.branch
        siblings = [t for t in self.conversation.alternatives(turn.id) if t in before]
        self.conversation.switch(turn.id)
        for sibling in siblings:
            self.conversation.switch(sibling.id)
            assert self.conversation.branch == before

    @rule()
    def keep_and_resume(self) -> None:
        branch = self.conversation.branch
        self.conversation = Conversation.resumed(self.conversation.kept("m"))
        assert self.conversation.branch == branch

    @invariant()
    def nothing_is_lost(self) -> None:
        turns = {t.id: (t.parent, t.role, t.content) for t in self.conversation.all_turns}
        assert turns == self.said

    @invariant()
    def what_is_shown_is_a_path_from_a_first_turn_to_one_that_nothing_follows(self) -> None:
        branch = self.conversation.branch
        parents = [None, *(turn.id for turn in branch)]
        assert [turn.parent for turn in branch] == parents[:-1]
        assert self.conversation.leaf == parents[-1]
        assert parents[-1] is None or parents[-1] not in {p for p, _, _ in self.said.values()}

    @invariant()
    def alternatives_agree_with_each_other(self) -> None:
        for turn in self.conversation.all_turns:
            alternatives = self.conversation.alternatives(turn.id)
            number, count = self.conversation.position(turn.id)
            assert alternatives[number - 1] == turn
            assert len(alternatives) == count
            assert {(t.parent, t.role) for t in alternatives} == {(turn.parent, turn.role)}

    @invariant()
    def the_model_gets_roles_in_turn(self) -> None:
        roles = [message["role"] for message in self.conversation.messages()]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)


TreeMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestTree = TreeMachine.TestCase


def test_the_model_gets_the_last_summary_and_what_was_said_after_it() -> None:
    conversation = Conversation("Be brief.")
    conversation.add("user", "one")
    conversation.add("assistant", "1", reasoning="hm")
    assert conversation.messages()[-1] == {
        "role": "assistant",
        "content": "1",
        "reasoning_content": "hm",
    }
    conversation.add("summary", "We counted.")
    conversation.add("user", "two")
    assert conversation.messages() == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"{SUMMARY_OPENS}\n\nWe counted.\n\ntwo"},
    )


def test_a_conversation_whose_kept_leaf_has_followers_goes_on_to_the_newest() -> None:
    turns = [Turn(1, None, "user", "q"), Turn(2, 1, "assistant", "a"), Turn(3, 1, "assistant", "b")]
    assert Conversation(None, turns, leaf=1).leaf == 3
    assert Conversation(None, turns, leaf=2).leaf == 2
    assert Conversation(None, turns, leaf=9).leaf == 3
    assert Conversation(None, [], leaf=9).leaf is None


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", ""),
        ("\n  Explain   CTEs\nplease", "Explain CTEs"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("word " * 30, ("word " * 11).strip() + "…"),
    ],
)
def test_a_title_is_the_first_line_shortened(text: str, title: str) -> None:
    assert title_of(text) == title
