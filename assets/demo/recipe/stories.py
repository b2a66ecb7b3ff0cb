"""Very short stories from a grammar of plots: the request, the story, and questions about it.

Every plot is a row of sentences; each sentence is one of several. Slots: {N} hero, {n} hero after
the first mention, {he} {He} {his} {him} pronouns, {P} place with preposition, {p} "the place",
{aT} {T} thing, {H} helper, {h} the helper again, {W} when.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from recipe.text import held_out
from recipe.words import coined_word, load_words, with_article

WORDS = load_words("story")
PLOTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lost": (
        ("{W}, {N} lost {aT} {P}.", "{W}, {N} came home without {aT}: it was lost {P}."),
        ("{He} looked everywhere, but it was gone.", "{n} searched for hours and found nothing."),
        ("Then {H} came by and asked what was wrong.", "{H^} saw {him} and wanted to help."),
        (
            "Together they looked once more, and there lay {T} under some leaves.",
            "Together they searched again and found {T} behind a door.",
        ),
        (
            "{n} laughed, and from that day on they were friends.",
            "{n} thanked {h} and went home happy.",
            "From then on {he} took better care of {his} things.",
        ),
    ),
    "found": (
        ("{W}, {N} found {aT} {P}.", "{W}, {N} walked about and saw {aT} lying {P}."),
        (
            "{He} did not know whose it was.",
            "Nobody seemed to miss it.",
            "It was dusty, but it shone in the light.",
        ),
        ("{n} asked {H}, who looked at it for a long time.", "{n} showed it to {H}."),
        (
            '"That is mine," said {h}, "I lost it years ago."',
            '"Keep it," said {h}, "it brings luck."',
        ),
        (
            "{n} was glad to have asked.",
            "That evening there was cake for everybody.",
            "{n} never forgot that day.",
        ),
    ),
    "journey": (
        ("{N} had always dreamed of going to {p}.", "All {his} life {N} had wanted to see {p}."),
        ("{W}, {he} packed {aT} and set out.", "{W}, {he} took {aT} and left without a word."),
        (
            "On the way {he} met {H}, and they walked on together.",
            "Halfway there, {H} asked to come along.",
        ),
        (
            "When they arrived, it was more beautiful than any dream.",
            "When they came to {p}, the sun was just rising.",
        ),
        (
            "{n} stayed for a whole year.",
            "{n} wrote a long letter home.",
            "They sat down, shared their bread and said nothing.",
            "In the end {n} was glad to go home again.",
        ),
    ),
    "storm": (
        ("{N} lived {P} and was never afraid.", "{N} kept {aT} {P} and looked after it every day."),
        ("{W}, a great storm came.", "{W}, the wind began to howl."),
        ("{He} heard {H} calling for help.", "Outside, {H} had lost the way."),
        (
            "{n} held up {T} and showed the way to {p}.",
            "{n} ran out with {T} and led {h} to safety.",
        ),
        (
            "In the morning the sky was blue, and they had breakfast together.",
            "After the storm they mended the roof together.",
            "Since then, {h} visits every week.",
        ),
    ),
    "secret": (
        (
            "Nobody knew that there was {aT} hidden {P}.",
            "There was a secret {P}: {aT} that nobody had seen.",
        ),
        ("{W}, {N} found it by chance.", "{W}, {N} followed a strange sound and found it."),
        ("When {he} touched {T}, it began to sing.", "When {he} picked it up, it began to glow."),
        ("{H^} heard it too and came closer.", "{n} told only {H} about it."),
        (
            "They kept the secret, and it kept them company.",
            "The next day it was silent again, and {n} smiled.",
            "{n} put it back, so that somebody else could find it.",
        ),
    ),
    "gift": (
        ("{N} wanted to give {aT} to {H}.", "It was the birthday of {H}, and {N} had no present."),
        ("So {he} went to {p} to look for one.", "{W}, {he} started to build one {P}."),
        ("It took all day, and twice {he} nearly gave up.", "It was harder than {he} had thought."),
        ("At last {T} was ready, and it was lovely.", "In the end {he} held {T} in {his} hands."),
        (
            '"Nobody ever gave me anything so fine," said {h}.',
            "{h^} smiled and could not speak.",
            "They celebrated until the moon came up.",
        ),
    ),
    "race": (
        (
            "{W}, there was a contest {P}, and the prize was {aT}.",
            "{W}, people met {P} to race for {aT}.",
        ),
        ("{N} was the smallest of all and very nervous.", "{N} had trained for weeks."),
        ("Halfway, {he} saw that {H} had fallen.", "Just before the end, {H} stumbled."),
        ("{n} stopped and helped {h} up.", "{n} turned back to help."),
        (
            "They came in last, but everybody cheered.",
            "They shared {T} in the end.",
            "{n} did not win, but {he} won a friend.",
        ),
    ),
    "lonely": (
        ("{N} lived alone {P} and had nobody to talk to.", "It was quiet {P}, too quiet for {N}."),
        (
            "{W}, {he} hung {aT} over the door, as a sign.",
            "{W}, {he} put {aT} in front of the house.",
        ),
        ("At first nothing happened.", "Days went by and nobody came."),
        ("Then {H} knocked and asked about {T}.", "Then {H} stopped to look at it."),
        (
            "They talked until midnight.",
            "Now the house is full of guests every evening.",
            "{n} was never lonely again.",
        ),
    ),
}
SHORT = {
    "lost": "{N} lost {aT} {P} and found it again.",
    "found": "{N} found {aT} {P} and asked {H} about it.",
    "journey": "{N} travelled to {p} with {H}.",
    "storm": "{N} helped {H} in a storm.",
    "secret": "{N} found a secret {P}: {aT}.",
    "gift": "{N} made a present for {H}.",
    "race": "{N} helped {H} in a race.",
    "lonely": "{N} was lonely {P} until {H} came.",
}
_OPEN = (
    "tell me a story",
    "a story",
    "tell me a short story",
    "write a story",
    "can you tell me a story",
    "I'd like a story",
    "make up a story",
    "please tell me a story",
    "story",
    "write a short story",
    "give me a story",
    "could you write me a story",
    "tell a story",
    "I want a story",
    "a short story please",
)
_ABOUT = (
    "{open} about {x}",
    "{open} about {x}",
    "{open} with {x}",
    "{open} about {x}",
    "{open} of {x}",
)
HELD_OPEN = (
    "can you write a little story",
    "narrate a story",
    "I would love a story",
    "how about a story",
)
QUESTIONS = {
    "who": (
        "who helped?",
        "who was the helper?",
        "who did {n} meet?",
        "who else was in the story?",
    ),
    "where": (
        "where was it?",
        "where did it happen?",
        "which place was it?",
        "where does the story take place?",
    ),
    "hero": ("who was the story about?", "what was the hero's name?", "who is the main character?"),
    "end": (
        "how did it end?",
        "what happened in the end?",
        "how does the story end?",
        "and the ending?",
    ),
}


@dataclass(frozen=True)
class Story:
    """A request, the words it asks for, the story, and what can be asked about it."""

    request: str
    asked: tuple[str, ...]
    text: str
    short: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Cast:
    """Who and what a story is about."""

    hero: str
    pronoun: str
    place: str
    thing: str
    helper: str
    again: str

    def slots(self, when: str) -> dict[str, str]:
        """What each mark of the grammar stands for."""
        preposition, noun = self.place.split("|")
        forms = {"she": ("her", "her"), "he": ("his", "him"), "it": ("its", "it")}[self.pronoun]
        named = self.hero[0].isupper()
        return {
            "N": self.hero if named else with_article(self.hero),
            "n": self.hero if named else f"the {self.hero}",
            "he": self.pronoun,
            "his": forms[0],
            "him": forms[1],
            "P": f"{preposition} {noun}",
            "p": f"{preposition.split()[1]} {noun}",
            "aT": with_article(self.thing),
            "T": f"the {self.thing}",
            "H": self.helper,
            "h": self.again,
            "W": when,
        }


def make_story(rng: Random, held: bool = False) -> Story:
    """A random request with its story; held-out stories use names and requests never trained on."""
    hero, pronoun = _hero(rng, held)
    helper, again = _helper(rng, hero, held)
    thing = coined_word(rng) if rng.random() < 0.12 else rng.choice(WORDS["things"])
    cast = Cast(hero, pronoun, rng.choice(WORDS["places"]), thing, helper, again)
    request, asked = _request(cast, rng, held)
    plot = rng.choice(list(PLOTS))
    slots = cast.slots(rng.choice(WORDS["times"]))
    sentences = _sentences(plot, slots, asked, rng)
    return Story(
        request,
        asked,
        " ".join(sentences),
        _fill(SHORT[plot], slots),
        {
            "who": _fill("{H^}.", slots),
            "where": _fill("It was {P}.", slots),
            "hero": _fill("It was about {N}.", slots),
            "end": sentences[-1],
        },
    )


def _sentences(plot: str, slots: dict[str, str], asked: tuple[str, ...], rng: Random) -> list[str]:
    """One sentence of each row, drawn again until every asked word occurs."""
    while True:
        rows = [_fill(rng.choice(row), slots) for row in PLOTS[plot]]
        missing = [word for word in asked if word not in " ".join(rows)]
        if not missing:
            return rows
        if rng.random() < 0.3:
            plot = rng.choice(list(PLOTS))


def _fill(sentence: str, slots: dict[str, str]) -> str:
    for mark in ("H", "h"):
        sentence = sentence.replace("{" + mark + "^}", _capital(slots[mark]))
    sentence = sentence.replace("{He}", _capital(slots["he"]))
    return _capital(sentence.format(**slots))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _hero(rng: Random, held: bool) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.18 and not held:
        return rng.choice(WORDS["animals"]), "it"
    if roll < 0.38:
        return _capital(coined_word(rng)), rng.choice(("she", "he"))
    names, pronoun = (WORDS["she"], "she") if rng.random() < 0.5 else (WORDS["he"], "he")
    return rng.choice([name for name in names if held_out(name) == held]), pronoun


def _helper(rng: Random, hero: str, held: bool) -> tuple[str, str]:
    if rng.random() < 0.35:
        name, _ = _hero(rng, held)
        if name[0].isupper() and name != hero:
            return name, name
    helper = rng.choice(WORDS["helpers"])
    return helper, "the " + helper.split(" ", 1)[1]


def _request(cast: Cast, rng: Random, held: bool) -> tuple[str, tuple[str, ...]]:
    opening = rng.choice(HELD_OPEN if held else _OPEN)
    hero = cast.hero if cast.hero[0].isupper() else with_article(cast.hero)
    place = cast.place.split("|")[1]
    a_place = rng.choice((with_article(place), f"the {place}"))
    a_thing = with_article(cast.thing)
    named_helper = cast.helper[0].isupper()
    choices = [
        (hero, (cast.hero,)),
        (f"{hero} and {a_place}", (cast.hero, place)),
        (f"{hero} and {a_thing}", (cast.hero, cast.thing)),
        (f"{hero} {cast.place.replace('|', ' ')}", (cast.hero, place)),
        (a_place, (place,)),
        (a_thing, (cast.thing,)),
        (f"{hero}, {a_place} and {a_thing}", (cast.hero, place, cast.thing)),
    ]
    if named_helper:
        choices += [(f"{hero} and {cast.helper}", (cast.hero, cast.helper))] * 3
        choices += [
            (
                f"{hero} and {cast.helper} {cast.place.replace('|', ' ')}",
                (cast.hero, cast.helper, place),
            )
        ]
    if rng.random() < 0.12 and not held:
        return opening, ()
    subject, asked = rng.choice(choices)
    return rng.choice(_ABOUT).format(open=opening, x=subject), asked
