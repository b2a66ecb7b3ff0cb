"""Answers drawn at random among the tokens that a guide lets come, and schemas for them."""

import random
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localfp4.text.guidance.guide import LlGuide

LONGEST = 3000


def allowed(mask: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the ids in one row of a mask."""
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))


def walk(
    guide: LlGuide,
    ends: Collection[int],
    rng: random.Random,
    preferred: Collection[int] = (),
) -> list[int] | None:
    """Draw tokens until one ends the answer; ``None`` where none has after a while.

    Args:
        guide: At the beginning of an answer.
        ends: Tokens that end it, one of which is left out of what is returned.
        rng: Where chance comes from.
        preferred: Tokens that are taken more often than chance would.
    """
    tokens: list[int] = []
    while len(tokens) < LONGEST:
        choices = allowed(guide.masks([])[0])
        assert len(choices)
        often = [token for token in choices if token in preferred or token in ends]
        token = int(rng.choice(often if often and rng.random() < 0.3 else choices))
        assert guide.allowed([token]) == (token not in ends)
        guide.accept(token)
        if token in ends:
            return tokens
        tokens.append(token)
    return None


def random_schema(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Return a schema whose texts and lists are bounded, and whose objects hold nothing else."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum"]
    if depth < 3:
        kinds += ["object", "object", "array", "anyOf"]
    kind = "object" if depth == 0 and rng.random() < 0.7 else rng.choice(kinds)
    match kind:
        case "string":
            return _string(rng)
        case "integer" | "number":
            low = rng.randint(-1000, 1000)
            return {"type": kind, "minimum": low, "maximum": low + rng.randint(0, 5000)}
        case "enum":
            values = [
                "rot",
                "grün",
                "😀",
                'a "quoted" one',
                7,
                -1.5,
                None,
                True,
                [1, "x"],
                {"k": 1},
            ]
            return {"enum": rng.sample(values, rng.randint(1, 4))}
        case "array":
            least = rng.randint(0, 2)
            items = random_schema(rng, depth + 1)
            most = least + rng.randint(0, 3)
            return {"type": "array", "items": items, "minItems": least, "maxItems": most}
        case "anyOf":
            return {"anyOf": [random_schema(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
        case "object":
            return _object(rng, depth)
    return {"type": kind}


def _string(rng: random.Random) -> dict[str, Any]:
    least = rng.randint(0, 4)
    kinds: list[dict[str, Any]] = [
        {"minLength": least, "maxLength": least + rng.randint(0, 12)},
        {"pattern": rng.choice([r"^[a-c]{2,5}$", r"^\d{4}-\d\d$", "^(ja|nein)$", r"^\w{1,3}ß?$"])},
        {"format": rng.choice(["date", "time", "date-time", "uuid", "ipv4"])},
    ]
    return {"type": "string", **rng.choice(kinds)}


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    keys = rng.sample(["a", "Name", "größe", "x y", "日本", 'qu"ote', "n_1"], rng.randint(0, 4))
    return {
        "type": "object",
        "properties": {key: random_schema(rng, depth + 1) for key in keys},
        "required": [key for key in keys if rng.random() < 0.6],
        "additionalProperties": False,
    }
