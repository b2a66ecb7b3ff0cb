"""What a comparison comes to, in words."""

from localfp4_tui.comparison import Comparison, Side, SideState
from localfp4_tui.divergence import Parting, Span
from localfp4_tui.formatting import count_of, one_line

_LONGEST_WORD = 24


def verdict(comparison: Comparison) -> str:
    """Return how far the two answers agree, and what else is to be known."""
    words = [_agreement(comparison)]
    if comparison.computes_alike:
        words.append(
            "Both sides compute the same way on this device, so that the precision makes no "
            "difference here."
        )
    return " ".join(word for word in words if word)


def _agreement(comparison: Comparison) -> str:
    sides, parting = comparison.sides, comparison.parting
    if any(side.state in (SideState.WAITING, SideState.LOADING) for side in sides):
        return "One side answers after the other, since a card rarely holds two models at once."
    if not all(side.said.tokens or side.said.text or side.finished for side in sides):
        is_failed = any(side.state is SideState.FAILED for side in sides)
        return "There is nothing to compare: one side has no answer." if is_failed else ""
    if parting.is_final:
        return _difference(sides, parting)
    how_many = count_of(parting.agreed, parting.unit)
    if any(side.state is SideState.ANSWERING for side in sides):
        return f"The first {how_many} agree so far."
    if all(side.state is SideState.DONE for side in sides):
        return f"Both answers are the same: all {how_many} agree."
    return f"The first {how_many} agree; then one side was broken off."


def _difference(sides: tuple[Side, Side], parting: Parting) -> str:
    left, right = (_quoted(side, span) for side, span in zip(sides, parting.spans, strict=True))
    agree = (
        f"The first {parting.unit} differs already"
        if not parting.agreed
        else f"The first {count_of(parting.agreed, parting.unit)} agree"
        if parting.agreed > 1
        else f"The first {parting.unit} agrees"
    )
    by_text = " (compared as text: the vocabularies differ)" if parting.unit == "character" else ""
    return f"{agree}{by_text}; then {left} against {right}."


def _quoted(side: Side, span: Span | None) -> str:
    if span is None:
        return "the end"
    words = one_line(side.said.words(span))
    shown = words if len(words) <= _LONGEST_WORD else words[: _LONGEST_WORD - 1] + "…"
    return f"“{shown}”" if shown else "a space"
