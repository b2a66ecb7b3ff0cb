"""Sums of numbers up to 99: which pairs are held out, how they are asked, how they are answered."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random

TRAINED = (
    "what is {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "{a} + {b} =",
    "{a}+{b}=?",
    "what's {a} + {b}?",
    "{a} plus {b}",
    "what is {a} plus {b}?",
    "add {a} and {b}",
    "add {a} to {b}",
    "calculate {a} + {b}",
    "how much is {a} + {b}?",
    "how much is {a} plus {b}?",
    "compute {a} + {b}",
    "sum of {a} and {b}?",
    "what is the sum of {a} and {b}?",
    "can you add {a} and {b}?",
    "what do {a} and {b} make?",
    "solve {a} + {b}",
    "if I have {a} and get {b} more, how many do I have?",
    "{a} and {b}?",
    "please work out {a} + {b}",
    "tell me {a} + {b}",
    "what does {a} + {b} equal?",
    "{a} + {b} = ?",
    "and {a} + {b}?",
    "what about {a} + {b}?",
    "now {a} + {b}",
    "do you know {a} + {b}?",
    "I have {a} apples and buy {b} more. How many?",
    "{a} + {b} please",
    "let's try {a} + {b}",
    "what is {a}+{b}",
    "what's {a} plus {b}",
    "what is {a} and {b} together?",
)
HELD = (
    "what is {a} added to {b}?",
    "can you tell me what {a} + {b} is?",
    "how much do {a} and {b} make?",
    "work out {a} plus {b}",
    "what would {a} + {b} be?",
)
MORE = (
    "and plus {c}?",
    "plus {c}?",
    "add {c} to that",
    "and {c} more?",
    "now add {c}",
    "plus {c}",
    "+ {c}",
)
HELD_MORE = ("add {c} more", "and then plus {c}?")


@dataclass(frozen=True)
class Sum:
    """a + b, with the way to the result in words."""

    a: int
    b: int

    @property
    def total(self) -> int:
        """The result."""
        return self.a + self.b

    def steps(self) -> str:
        """Tens and ones added apart, or only the ones of single digits."""
        a, b = self.a, self.b
        ones = f"{a % 10} + {b % 10} = {a % 10 + b % 10}"
        if a < 10 and b < 10:
            return ones
        tens = f"{a // 10 * 10} + {b // 10 * 10} = {a // 10 * 10 + b // 10 * 10}"
        return f"{tens} and {ones}"

    def answer(self) -> str:
        """The way to the result, which comes last."""
        if self.a < 10 and self.b < 10:
            return f"{self.a} + {self.b} = {self.total}."
        return f"{self.a} + {self.b}: {self.steps()}, so {self.a} + {self.b} = {self.total}."

    def small_step(self) -> str:
        """The answer when a single digit is added to what is already there."""
        a, b = self.a, self.b
        return f"{a} + {b}: {a % 10} + {b} = {a % 10 + b}, so {a} + {b} = {self.total}."

    def reason(self) -> str:
        """The answer to "why?"."""
        return f"Because {self.steps()}, which makes {self.total}."


def is_held(a: int, b: int) -> bool:
    """A tenth of the pairs, in either order, is never trained on."""
    return zlib.crc32(f"sum {min(a, b)} {max(a, b)}".encode()) % 10 == 0


def trained_sum(rng: Random) -> Sum:
    """A random sum of the trained pairs, now and then with a single digit."""
    while True:
        low = 10 if rng.random() < 0.88 else 0
        a, b = rng.randint(low, 99), rng.randint(low, 99)
        if not is_held(a, b):
            return Sum(a, b)


def held_sum(rng: Random) -> Sum:
    """A random two-digit sum of the held-out pairs."""
    while True:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        if is_held(a, b):
            return Sum(a, b)


def question(made: Sum, rng: Random, templates: tuple[str, ...] = TRAINED) -> str:
    """The sum, asked in one of the ways given."""
    return rng.choice(templates).format(a=made.a, b=made.b)
