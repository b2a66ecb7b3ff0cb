"""Conversations of one to many turns that mix all subjects and refer to what was said before.

A conversation is a list of messages; every assistant message is something the model shall learn.
Each turn leaves a `Topic` behind, and follow-up questions are answered from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from recipe import refusals, stories, sums
from recipe.facts import Fact, held_phrasings
from recipe.text import normalise, vary
from recipe.words import coined_word

Message = dict[str, str]

ASK = {
    "short": (
        "can you say it shorter?",
        "shorter?",
        "in one sentence?",
        "too long",
        "make it shorter",
        "shorter please",
        "in a few words?",
        "summarise that",
        "can you be brief?",
        "in short?",
        "tl;dr",
        "a shorter version?",
        "say it shorter",
        "can you shorten that?",
    ),
    "why": (
        "why?",
        "why is that?",
        "why so?",
        "and why?",
        "but why?",
        "what is the reason?",
        "how come?",
        "why is it like that?",
        "can you tell me why?",
        "what's the reason for that?",
        "why that?",
        "for what reason?",
    ),
    "example": (
        "give me an example",
        "an example?",
        "for example?",
        "can you give an example?",
        "example?",
        "such as?",
        "do you have an example?",
        "show me an example",
        "I need an example",
        "can I see an example?",
        "like what?",
        "an example please",
    ),
    "how": (
        "how do I do that?",
        "what is the command for that?",
        "how?",
        "and how do I do that?",
        "which command is that?",
        "how can I do that?",
        "what do I have to type?",
        "what must I type for that?",
        "how do I use it?",
        "what's the command?",
        "which command do I need for that?",
        "how does one do that?",
        "how do I measure it?",
        "how do I set it?",
    ),
    "repeat": (
        "can you repeat that?",
        "say that again",
        "again please",
        "repeat",
        "what did you say?",
        "once more please",
        "could you say that again?",
        "repeat your answer",
    ),
    "asked": (
        "what did I ask?",
        "what was my question?",
        "what did I just ask you?",
        "repeat my question",
        "which question did I ask?",
    ),
    "another": (
        "another one",
        "one more",
        "another one please",
        "and another?",
        "can I have another one?",
        "again!",
        "one more please",
    ),
}
HELD_ASK = {
    "short": (
        "could you put that more briefly?",
        "can you make that shorter?",
        "a short version please",
    ),
    "why": ("why would that be?", "and what is the reason for that?"),
    "example": ("could you give me an example?", "what would be an example?"),
    "how": ("how would I do that?", "and what is the command?", "what command do I use for that?"),
}
MISSING = {
    "why": "I don't know the reason, I'm a small demo. In short: {short}",
    "example": "I have no example for that. In short: {short}",
    "how": "I know no command for that. In short: {short}",
}
NO_TOPIC = (
    "I don't know what you mean. Ask me about localfp4, for a small sum or for a short story."
)
SYSTEM = (
    "You are a helpful assistant.",
    "You are the demo model of localfp4.",
    "Answer briefly.",
    "You are a friendly assistant.",
    "Be concise.",
    "You are localfp4's assistant. Help the user.",
)
_INTRODUCE = (
    "my name is {n}",
    "I'm {n}",
    "I am {n}",
    "hi, I'm {n}",
    "hello, my name is {n}",
    "call me {n}",
    "{n} is my name",
)
_NAME_BACK = (
    "what is my name?",
    "what's my name?",
    "do you know my name?",
    "who am I?",
    "do you remember my name?",
    "my name?",
)


@dataclass(frozen=True)
class Mix:
    """How often a turn follows up on the last one, and the shares of the kinds otherwise."""

    follow_up: float
    kinds: dict[str, int]


BROAD = Mix(0.42, {"fact": 43, "sum": 14, "story": 11, "talk": 11, "refusal": 19, "name": 2})
COPYING = Mix(0.50, {"fact": 40, "sum": 18, "story": 18, "talk": 8, "refusal": 12, "name": 4})


@dataclass
class Topic:
    """What the last answer was about, as far as a follow-up can refer to it."""

    kind: str
    follow: dict[str, str] = field(default_factory=dict)
    total: int | None = None


class Talker:
    """Writes conversations from one seeded source of chance.

    With `held` it uses only the phrasings, sums, names and topics that training never sees.
    """

    def __init__(self, facts: list[Fact], seed: int, held: bool = False, mix: Mix = BROAD) -> None:
        self.rng = Random(seed)
        self.held = held
        self.mix = mix
        facts = [fact for fact in facts if fact.held] if held else facts
        self.facts = [fact for fact in facts if not fact.talk]
        self.talk = [fact for fact in facts if fact.talk]
        self.forbidden = set() if held else held_phrasings(facts)
        self.name: str | None = None

    def conversation(self, long: bool = False) -> list[Message]:
        """A fresh conversation; long ones fill about a thousand tokens."""
        rng = self.rng
        self.name = None
        messages: list[Message] = []
        if rng.random() < 0.12:
            messages.append({"role": "system", "content": rng.choice(SYSTEM)})
        turns = rng.randint(9, 24) if long else rng.choices((1, 2, 3, 4, 5), (34, 26, 22, 12, 6))[0]
        topic: Topic | None = None
        for _ in range(turns):
            question, answer, topic = self.turn(topic, messages)
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        return messages

    def turn(self, topic: Topic | None, messages: list[Message]) -> tuple[str, str, Topic]:
        """One question with its answer, and what it leaves to refer to."""
        rng = self.rng
        if topic is not None and rng.random() < self.mix.follow_up:
            return self.follow_up(topic, messages)
        if topic is None and rng.random() < 0.012:
            return (
                vary(rng.choice(ASK[rng.choice(("why", "short", "how", "example"))]), rng),
                NO_TOPIC,
                Topic("none"),
            )
        kind = rng.choices(list(self.mix.kinds), list(self.mix.kinds.values()))[0]
        question, answer, topic = getattr(self, f"_{kind}")()
        return self.typed(question, typos=kind in ("fact", "talk", "refusal")), answer, topic

    def typed(self, question: str, typos: bool = True) -> str:
        """The question as typed, never one that is held out."""
        while normalise(typed := vary(question, self.rng, typos)) in self.forbidden:
            pass
        return typed

    def follow_up(self, topic: Topic, messages: list[Message]) -> tuple[str, str, Topic]:
        """A question that only makes sense after the turn before, with its answer."""
        rng = self.rng
        last_question, last_answer = messages[-2]["content"], messages[-1]["content"]
        if rng.random() < 0.08:
            return vary(rng.choice(ASK["repeat"]), rng), last_answer, topic
        if rng.random() < 0.05:
            return vary(rng.choice(ASK["asked"]), rng), f'You asked: "{last_question}"', topic
        if topic.total is not None and rng.random() < 0.4:
            return self._add_more(topic.total)
        if topic.kind in ("joke", "story") and rng.random() < 0.35:
            question = self.typed(rng.choice(ASK["another"]), typos=False)
            if topic.kind == "story":
                story = stories.make_story(rng)
                return question, story.text, _story_topic(story)
            jokes = [
                j
                for fact in self.talk
                if fact.id == "joke"
                for j in fact.answers
                if j != last_answer
            ]
            return question, rng.choice(jokes), topic
        choices = [name for name in topic.follow if topic.follow[name]]
        if not choices:
            return self.turn(None, messages)
        name = rng.choice(choices)
        question = rng.choice(self._ways_to_ask(name))
        hero = topic.follow.get("hero", "").removeprefix("It was about ").rstrip(".")
        return self.typed(question.replace("{n}", hero)), topic.follow[name], topic

    def _ways_to_ask(self, name: str) -> tuple[str, ...]:
        if self.held and name in HELD_ASK:
            return HELD_ASK[name]
        return ASK[name] if name in ASK else stories.QUESTIONS[name]

    def _fact(self) -> tuple[str, str, Topic]:
        fact = self.rng.choice(self.facts)
        return self._asked(fact), self.rng.choice(fact.answers), fact_topic(fact)

    def _talk(self) -> tuple[str, str, Topic]:
        fact = self.rng.choice(self.talk)
        kind = "joke" if fact.id == "joke" else "talk"
        return self._asked(fact), self.rng.choice(fact.answers), Topic(kind)

    def _asked(self, fact: Fact) -> str:
        return self.rng.choice(fact.held if self.held else fact.trained)

    def _sum(self) -> tuple[str, str, Topic]:
        made = sums.held_sum(self.rng) if self.held else sums.trained_sum(self.rng)
        templates = sums.HELD if self.held else sums.TRAINED
        return sums.question(made, self.rng, templates), made.answer(), sum_topic(made)

    def _add_more(self, total: int) -> tuple[str, str, Topic]:
        more = sums.Sum(total, self.rng.randint(1, 9))
        question = self.rng.choice(sums.HELD_MORE if self.held else sums.MORE).format(c=more.b)
        return vary(question, self.rng, typos=False), more.small_step(), sum_topic(more)

    def _story(self) -> tuple[str, str, Topic]:
        story = stories.make_story(self.rng, self.held)
        return story.request, story.text, _story_topic(story)

    def _refusal(self) -> tuple[str, str, Topic]:
        question, answer = refusals.refusal(self.rng, self.held)
        while normalise(question) in self.forbidden:
            question, answer = refusals.refusal(self.rng, self.held)
        return question, answer, Topic("refusal", {"why": refusals.WHY})

    def _name(self) -> tuple[str, str, Topic]:
        rng = self.rng
        if self.name is None and rng.random() < 0.75:
            coined = rng.random() < 0.3
            name = (
                coined_word(rng).capitalize()
                if coined
                else rng.choice(stories.WORDS["she"] + stories.WORDS["he"])
            )
            self.name = name
            told = rng.choice(_INTRODUCE).format(n=name)
            return (
                told,
                f"Nice to meet you, {name}! What would you like to know?",
                Topic("name", {"name": f"Your name is {name}."}),
            )
        answer = f"Your name is {self.name}." if self.name else "You haven't told me your name yet."
        return rng.choice(_NAME_BACK), answer, Topic("talk")


ASK["name"] = _NAME_BACK


def fact_topic(fact: Fact) -> Topic:
    """What can be asked after a fact; a missing answer is said to be missing."""
    follow = dict(fact.follow)
    if "short" in follow:
        for name, text in MISSING.items():
            follow.setdefault(name, text.format(short=follow["short"]))
    return Topic("fact", follow)


def sum_topic(made: sums.Sum) -> Topic:
    """What can be asked after a sum."""
    follow = (
        {"why": made.reason(), "short": f"{made.total}."}
        if made.a < 100
        else {"short": f"{made.total}."}
    )
    return Topic("sum", follow, made.total)


def _story_topic(story: stories.Story) -> Topic:
    return Topic("story", {"short": story.short, **story.facts})
