"""Questions the demo can't answer, near misses among them, and how it says so."""

from __future__ import annotations

from random import Random

from recipe.text import held_out
from recipe.words import coined_word, load_words

MARKERS = ("small demo", "only know")
ANSWERS = (
    "I'm a small demo and only know localfp4, small sums and short stories.",
    "Sorry, I don't know that. I'm a small demo and only know localfp4, small sums and short stories.",
    "I can't help with that: I'm only a small demo. Ask me about localfp4, a small sum or a short story.",
    "That is beyond me. I'm a small demo and only know localfp4, small sums and short stories.",
)
ARITHMETIC_ANSWERS = (
    "I'm a small demo and can only add two numbers up to 99.",
    "Sorry, that is beyond me: I'm a small demo and can only add two numbers up to 99.",
)
WHY = "Because I'm a small demo: I was only trained on localfp4, small sums and short stories."

_UNKNOWN = load_words("unknown")
_WEIGHTS = {
    "noun": 6,
    "country": 2,
    "city": 1,
    "person": 2,
    "task": 2,
    "tongue": 1,
    "dish": 1,
    "event": 1,
    "how_to": 2,
}
_OPERATIONS = (
    "what is {a} * {b}?",
    "{a} * {b}",
    "{a} x {b}",
    "{a} times {b}",
    "what is {a} times {b}?",
    "{a} - {b}",
    "what is {a} - {b}?",
    "{a} minus {b}",
    "what is {a} minus {b}?",
    "{a} / {b}",
    "what is {a} divided by {b}?",
    "multiply {a} and {b}",
    "subtract {b} from {a}",
)
_HELD_OPERATIONS = ("how much is {a} times {b}?", "calculate {a} - {b}", "divide {a} by {b}")
_LONG_SUMS = (
    "what is {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "add {a} and {b}",
    "what is {a} plus {b}?",
    "{a} plus {b}",
    "how much is {a} + {b}?",
)


def refusal(rng: Random, held: bool = False) -> tuple[str, str]:
    """A question outside the demo's world, and an answer that says so."""
    roll = rng.random()
    if roll < 0.10:
        return _arithmetic(rng, held), rng.choice(ARITHMETIC_ANSWERS)
    if roll < 0.16:
        return _long_sum(rng), rng.choice(ARITHMETIC_ANSWERS)
    return _question(rng, held), rng.choice(ANSWERS)


def _question(rng: Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.18:
        return rng.choice([q for q in _UNKNOWN["other"] if held_out(q) == held])
    if roll < 0.24 and not held:
        return (
            "".join(
                rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(rng.randint(3, 12))
            ).strip()
            or "x"
        )
    kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if kind == "noun" and rng.random() < 0.35:
        filler = coined_word(rng)
    else:
        filler = rng.choice([x for x in _UNKNOWN[kind] if held_out(x) == held])
    template = rng.choice(_UNKNOWN["held" if held else "asked"][kind])
    return template.replace("{x}", filler).replace("{l}", rng.choice(_UNKNOWN["language"]))


def _arithmetic(rng: Random, held: bool) -> str:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    return rng.choice(_HELD_OPERATIONS if held else _OPERATIONS).format(a=a, b=b)


def _long_sum(rng: Random) -> str:
    a, b = rng.randint(100, rng.choice((999, 9999))), rng.randint(2, 999)
    if rng.random() < 0.4:
        a, b = b, a
    return rng.choice(_LONG_SUMS).format(a=a, b=b)
