"""Answers in stretches, however their pieces are cut."""

import re

import hypothesis.strategies as st
from hypothesis import given, settings

from localfp4.messages import Delta, ToolCall
from localfp4.server.stretches import Begun, Ended, Grown, Stretches

CALL = ToolCall(0, "c", "f", "{}")
PIECES = st.lists(
    st.one_of(
        st.builds(lambda text: Delta("", text), st.sampled_from(["a", "b\n", "\n", " ", ""])),
        st.builds(lambda text: Delta("", "", reasoning=text), st.sampled_from(["x", "\n", "y "])),
        st.just(Delta("", "", tool_calls=(CALL,))),
    ),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=100, deadline=None)
def test_nothing_but_blanks_is_lost_and_stretches_follow_one_another(pieces: list[Delta]) -> None:
    stretches = Stretches()
    steps = [step for piece in pieces for step in stretches.take(piece)] + stretches.end()
    written = ""
    for step in steps:
        match step:
            case Begun(kind):
                assert written == ""
                under_way = kind
            case Grown(kind, text):
                assert kind == under_way
                written += text
            case Ended(kind, text):
                assert (kind, text) == (under_way, written)
                assert text.strip()
                written = ""
            case ToolCall():
                assert written == ""
    assert written == ""

    def visible(kind: str) -> str:
        ended = "".join(s.text for s in steps if isinstance(s, Ended) and s.kind == kind)
        return re.sub(r"\s", "", ended)

    assert visible("text") == re.sub(r"\s", "", "".join(piece.text for piece in pieces))
    assert visible("reasoning") == re.sub(r"\s", "", "".join(p.reasoning for p in pieces))
    calls = sum(isinstance(step, ToolCall) for step in steps)
    assert calls == sum(len(piece.tool_calls) for piece in pieces)


def test_a_stretch_keeps_its_text_as_it_is() -> None:
    stretches = Stretches()
    steps = stretches.take(Delta("", "\n\n")) + stretches.take(Delta("", "a ")) + stretches.end()
    assert steps == [Begun("text"), Grown("text", "\n\na "), Ended("text", "\n\na ")]
