"""The held-out questions and the rule by which an answer counts as correct.

Facts and small talk: every entry of the fact's `must` occurs, where "a|b" means either, case is
ignored, and an entry that begins with a letter or digit begins a word. Sums: the last number is
the result. Stories: at least three sentences, and every asked word occurs. Refusals: says that it
is a small demo or what it only knows. Follow-ups: at least 60% of the reference's words of five
or more letters, and all its numbers, occur; for a sum the last number is the result.

Knows nothing of the program that answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from recipe import refusals, stories, sums
from recipe.conversation import HELD_ASK, Message
from recipe.facts import Fact
from recipe.text import normalise, vary

Rule = Callable[[str], bool]
FOLLOW_UP_SHARE = 0.6


@dataclass(frozen=True)
class Item:
    """One graded question with the conversation before it."""

    category: str
    subject: str
    messages: list[Message]
    correct: Rule


def has_required(answer: str, must: tuple[str, ...]) -> bool:
    """The rule of facts and small talk."""
    return all(any(_occurs(word, answer) for word in entry.split("|")) for entry in must)


def last_number_is(answer: str, number: int) -> bool:
    """The rule of sums."""
    numbers = re.findall(r"\d+", answer)
    return bool(numbers) and int(numbers[-1]) == number


def is_story(answer: str, asked: tuple[str, ...]) -> bool:
    """The rule of stories."""
    sentences = re.findall(r"[^.!?]+[.!?]", answer)
    return len(sentences) >= 3 and all(word.lower() in answer.lower() for word in asked)


def is_refusal(answer: str) -> bool:
    """The rule of refusals."""
    return any(marker in answer.lower() for marker in refusals.MARKERS)


def resembles(answer: str, reference: str) -> bool:
    """The rule of follow-ups."""
    said = set(_words(answer))
    wanted = set(_words(reference))
    numbers = {word for word in wanted if word.isdigit()}
    long = {word for word in wanted if len(word) >= 5} or wanted
    return numbers <= said and len(long & said) >= FOLLOW_UP_SHARE * len(long)


def held_out_items(facts: list[Fact], seed: int, per_fact: int, others: int) -> list[Item]:
    """All graded questions: up to `per_fact` of each fact, `others` of every other category."""
    rng = Random(seed)
    items: list[Item] = []
    trained = {normalise(question) for fact in facts for question in fact.trained}
    for fact in facts:
        category = "small talk" if fact.talk else "facts"
        for question in rng.sample(fact.held, min(per_fact, len(fact.held))):
            messages = _ask(_as_typed(question, trained, rng))
            items.append(Item(category, fact.id, messages, _facts_rule(fact)))
    items += _follow_ups(facts, rng, others)
    for _ in range(others):
        made = sums.held_sum(rng)
        question = sums.question(made, rng, rng.choice((sums.HELD, sums.TRAINED)))
        items.append(Item("sums", f"{made.a} + {made.b}", _ask(question), _sum_rule(made.total)))
        story = stories.make_story(rng, held=True)
        items.append(Item("stories", story.request, _ask(story.request), _story_rule(story.asked)))
        items.append(Item("refusals", "", _ask(refusals.refusal(rng, held=True)[0]), is_refusal))
    return items


def _follow_ups(facts: list[Fact], rng: Random, count: int) -> list[Item]:
    pairs = [(fact, name) for fact in facts for name in fact.follow]
    items = [_fact_follow_up(*pair, rng) for pair in rng.sample(pairs, min(count, len(pairs)))]
    for _ in range(count // 10):
        made, more = sums.held_sum(rng), rng.randint(1, 9)
        before = [*_ask(sums.question(made, rng)), _said(made.answer())]
        question = rng.choice(sums.HELD_MORE).format(c=more)
        items.append(
            Item("follow-ups", "sum", before + _ask(question), _sum_rule(made.total + more))
        )
    return items


def _fact_follow_up(fact: Fact, name: str, rng: Random) -> Item:
    first = rng.choice(fact.held or fact.trained)
    before = [*_ask(first), _said(rng.choice(fact.answers))]
    question = rng.choice(HELD_ASK[name])
    reference = fact.follow[name]
    return Item(
        "follow-ups",
        f"{fact.id}.{name}",
        before + _ask(question),
        lambda a: resembles(a, reference),
    )


def _as_typed(question: str, trained: set[str], rng: Random) -> str:
    while normalise(typed := vary(question, rng, typos=False)) in trained:
        pass
    return typed


def _facts_rule(fact: Fact) -> Rule:
    return lambda answer: has_required(answer, fact.must)


def _sum_rule(total: int) -> Rule:
    return lambda answer: last_number_is(answer, total)


def _story_rule(asked: tuple[str, ...]) -> Rule:
    return lambda answer: is_story(answer, asked)


def _ask(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]


def _said(answer: str) -> Message:
    return {"role": "assistant", "content": answer}


def _occurs(word: str, answer: str) -> bool:
    start = r"(?<![a-z0-9])" if word[0].isalnum() else ""
    return re.search(start + re.escape(word.lower()), answer.lower()) is not None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())
