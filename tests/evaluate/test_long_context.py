import re
from collections.abc import Callable, Iterable

import pytest

from localfp4.errors import EvaluationError
from localfp4.evaluate.events import Found
from localfp4.evaluate.long_context import LongContext, answer_long_contexts
from localfp4.evaluate.multi_hop import multi_hops
from localfp4.evaluate.needle import needles
from localfp4.evaluate.records import Items, Result, Subject
from tests.evaluate.fake_scorer import Reader

SUBJECT = Subject("m", "w4a16")


def find_code(prompt: str) -> str:
    """Answer a question about a code, or with nonsense where the text does not tell."""
    (town,) = re.findall(r"Question: What is the code of the archive in (\w+)\?", prompt)
    told = re.findall(rf"The code of the archive in {town} is (\d+)\.", prompt)
    return told[0] if told else "nothing"


def follow(prompt: str) -> str:
    """Answer where somebody lives by following who lives with whom."""
    (who,) = re.findall(r"Question: In which town does (\w+) live\?", prompt)
    with_whom = dict(re.findall(r"(\w+) lives in the same town as (\w+)\.", prompt))
    while who in with_whom:
        who = with_whom[who]
    (town,) = re.findall(rf"{who} lives in (\w+)\.", prompt)
    return str(town)


def only_first_half(prompt: str) -> str:
    text, question = prompt.split("\n\nQuestion")
    return find_code(text[: len(text) // 2] + "\n\nQuestion" + question)


def reader(answer: Callable[[str], str], context: int = 8000, start: int | None = None) -> Reader:
    return Reader(context=context, start=start, answer=answer)


def asked(scorer: Reader, contexts: Iterable[LongContext]) -> tuple[list[Result], list[Items]]:
    found: list[Found] = [*answer_long_contexts(scorer, SUBJECT, "needle", [*contexts])]
    return (
        [one for one in found if isinstance(one, Result)],
        [one for one in found if isinstance(one, Items)],
    )


@pytest.mark.parametrize("length", [600, 4000])
@pytest.mark.parametrize("start", [None, 129])
def test_contexts_are_as_long_as_asked_with_facts_at_their_depths(
    length: int, start: int | None
) -> None:
    scorer = reader(find_code, start=start)
    found = [*needles(scorer, [length], each=2)]
    assert [one.id for one in found] == [
        f"{length}/{depth}%/{number}" for depth in (0, 25, 50, 75, 100) for number in (0, 1)
    ]
    for one in found:
        # The room that is left for the answer, and less than two sentences.
        assert length - 48 - 130 < len(one.prompt) <= length - 48
        assert one.prompt[0] == (start if start is not None else one.prompt[0])
        lines = scorer.decode(one.prompt).split("\n\n")[0].split("\n")
        (at,) = [
            line for line, text in enumerate(lines) if text.endswith(one.puzzle.choices[0] + ".")
        ]
        depth = float(one.id.split("/")[1].rstrip("%")) / 100
        assert abs(at / (len(lines) - 1) - depth) < 0.5 * 4 / len(lines) + 0.1
        assert len(set(one.puzzle.choices)) == 4


def test_the_same_seed_asks_the_same() -> None:
    scorer = reader(find_code)
    first, second = ([*needles(scorer, [600], each=1, seed=seed)] for seed in (0, 0))
    assert first == second
    assert first != [*needles(scorer, [600], each=1, seed=1)]


def test_who_reads_finds_needles_and_who_reads_half_finds_half() -> None:
    contexts = [*needles(reader(find_code), [600, 1200], each=2)]
    results, items = asked(reader(find_code), contexts)
    assert [(one.task, one.value) for one in results] == [
        ("needle@600", 1.0),
        ("needle@1200", 1.0),
    ]
    results, items = asked(reader(only_first_half), contexts)
    by_depth = dict(zip(items[1].ids, items[1].values, strict=True))
    assert by_depth["1200/0%/0"] == by_depth["1200/25%/1"] == 1.0
    assert by_depth["1200/75%/0"] == by_depth["1200/100%/1"] == 0.0
    assert results[1].value == pytest.approx(sum(by_depth.values()) / 10)
    share = results[1].value
    assert results[1].stderr == pytest.approx((share * (1 - share) / 9) ** 0.5)


@pytest.mark.parametrize("hops", [1, 3])
def test_who_follows_every_hop_is_right(hops: int) -> None:
    scorer = reader(follow)
    contexts = [*multi_hops(scorer, [2400], hops, each=5)]
    assert all(len(one.puzzle.facts) == 4 * (hops + 1) for one in contexts)
    results, _ = asked(scorer, contexts)
    assert results[0].value == 1.0


def test_the_first_town_that_is_named_does_not_answer_hops() -> None:
    def first(prompt: str) -> str:
        return str(re.findall(r"lives in ([A-Z]\w+)\.", prompt)[0])

    scorer = reader(first)
    results, _ = asked(scorer, multi_hops(scorer, [1800], each=40))
    assert 0.05 < results[0].value < 0.5


def test_lengths_that_do_not_fit_are_sentences() -> None:
    scorer = reader(find_code, context=2000)
    with pytest.raises(EvaluationError, match=r"4,000 tokens do not fit the 2,000 of the model"):
        [*needles(scorer, [4000])]
    with pytest.raises(EvaluationError, match=r"of 200 tokens is too short for the \d+ of the"):
        [*needles(scorer, [200])]
    with pytest.raises(ValueError, match="hops must be from 1 to 5, not 6"):
        [*multi_hops(scorer, [600], hops=6)]
