"""Whether a JSON schema is one: keywords of another type than theirs are refused in words.

Of the keywords only those count that are read here beside llguidance, which checks the others.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from localfp4.errors import RequestError
from localfp4.messages.constraint import LONGEST_CONSTRAINT

_LONGEST_PATTERN = LONGEST_CONSTRAINT["regex"]

_LARGEST_MULTIPLE = 2**17
"""Of what numbers are to be multiples of, in units of its last digit.

An automaton counts up to it: 100,003 took 0.3 s to compile, 300,007 took 4 s and 150 MB.
"""

_MOST_DIGITS = 20

_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "additionalItems")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def check_shape(schema: Any, whose: str) -> None:
    """Refuse what is no schema, or none that can be compiled in a moment.

    Args:
        schema: What was asked for, not nested deeply.
        whose: Names it in errors, as in ``The JSON schema``.

    Raises:
        RequestError: A keyword has a value of another type than it may have, or one too large.
    """
    multiples: list[Decimal] = []
    are_joined = False
    rest = [schema]
    while rest:
        part = rest.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise RequestError(f"{whose} has {_shown(part)} where a schema must stand.")
        for keyword, value in part.items():
            if not _fits(keyword, value):
                raise RequestError(f"{whose} has {keyword} with the value {_shown(value)}.")
        _check_patterns(part, whose)
        are_joined |= not part.keys().isdisjoint(("allOf", "$ref"))
        if "multipleOf" in part:
            multiples.append(Decimal(str(part["multipleOf"])))
        rest += _inner(part)
    for together in [multiples] if are_joined else [[one] for one in multiples]:
        _check_multiples(together, whose)


def _fits(keyword: str, value: Any) -> bool:
    if keyword in _SCHEMAS_BY_NAME:
        return isinstance(value, dict)
    if keyword in _SCHEMA_LISTS or keyword == "enum":
        return isinstance(value, list) and bool(value)
    if keyword in _COUNTS:
        return type(value) is int and value >= 0
    match keyword:
        case "type":
            names = value if isinstance(value, list) else [value]
            return bool(names) and all(isinstance(name, str) for name in names)
        case "required":
            return isinstance(value, list) and all(isinstance(name, str) for name in value)
        case "pattern" | "$ref":
            return isinstance(value, str)
        case "multipleOf":
            return type(value) in (int, float) and math.isfinite(value) and value > 0
    return True


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    for keyword in _SCHEMAS_BY_NAME:
        yield from schema.get(keyword, {}).values()
    for keyword in _SCHEMA_LISTS:
        yield from schema.get(keyword, ())
    for keyword in _SCHEMAS:
        inner = schema.get(keyword, True)
        yield from inner if isinstance(inner, list) else [inner]


def _check_patterns(schema: Mapping[str, Any], whose: str) -> None:
    patterns = [*schema.get("patternProperties", ()), schema.get("pattern", "")]
    longest = max(map(len, patterns))
    if longest > _LONGEST_PATTERN:
        raise RequestError(
            f"{whose} has a pattern of {longest} characters; at most {_LONGEST_PATTERN} are "
            "compiled."
        )


def _check_multiples(multiples: Sequence[Decimal], whose: str) -> None:
    """Refuse numbers whose multiples, which they may have to be all at once, are too far apart."""
    if not multiples:
        return
    ratios = [one.as_integer_ratio() for one in multiples if abs(one.adjusted()) < _MOST_DIGITS]
    unit = math.lcm(*(below for _, below in ratios))
    common = math.lcm(*(above * (unit // below) for above, below in ratios))
    if len(ratios) < len(multiples) or common > _LARGEST_MULTIPLE:
        raise RequestError(
            f"{whose} asks for multiples that are too far apart: the multipleOf that hold together "
            f"have at most {_LARGEST_MULTIPLE} as their least common multiple, without the point."
        )


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
