"""What is refused before llguidance sees it: it follows nesting with a stack that can overflow."""

import re
from typing import Any
from urllib.parse import unquote

from localfp4.errors import RequestError
from localfp4.messages.constraint import LONGEST_CONSTRAINT
from localfp4.text.guidance.shape import check_shape

_DEEPEST_JSON = 100
_DEEPEST_TOGETHER = 4000
_MOST_NAMES = 1000
_LONGEST_EXPRESSION = LONGEST_CONSTRAINT["regex"]
_EXPRESSION = re.compile(rf"/(?:[^/\\\n]|\\.){{{_LONGEST_EXPRESSION},}}")
_DEFINITION = re.compile(r"^\s*[?!]?[\w.-]+(\[[^\]]*\])?(::\w+)?\s*:", re.MULTILINE)


def check_schema(schema: Any, whose: str) -> Any:
    """Return a JSON schema that can be compiled.

    Args:
        schema: What was asked for.
        whose: Names it in errors, as in ``The JSON schema``.

    Raises:
        RequestError: It is no schema, too much for an automaton, or nested too deeply, by itself or
            through references.
    """
    if not isinstance(schema, dict | bool):
        raise RequestError(f"{whose} must be an object.")
    depth = _depth(schema)
    if depth > _DEEPEST_JSON:
        raise RequestError(f"{whose} is nested deeper than {_DEEPEST_JSON} levels.")
    check_shape(schema, whose)
    targets = {id(found): found for found in (target(schema, n) for n in _references(schema))}
    total = depth + sum(map(_depth, targets.values()))
    if total > _DEEPEST_TOGETHER:
        raise RequestError(
            f"{whose} and what it refers to have {total} levels together; at most "
            f"{_DEEPEST_TOGETHER} are compiled."
        )
    return schema


def target(schema: Any, reference: str) -> Any:
    """Return what a reference within a schema leads to; all of it where it is no path."""
    found = schema
    for step in reference.removeprefix("#").split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return schema
    return found


def check_grammar(grammar: str) -> str:
    """Return a grammar that can be compiled.

    Raises:
        RequestError: It defines too many names, each of which may contain the next, or holds too
            long an expression.
    """
    names = len(_DEFINITION.findall(grammar))
    if names > _MOST_NAMES:
        raise RequestError(
            f"The grammar defines {names} names; at most {_MOST_NAMES} are compiled."
        )
    if _EXPRESSION.search(grammar):
        raise RequestError(
            "The grammar holds an expression that is too long; at most "
            f"{_LONGEST_EXPRESSION} characters are compiled."
        )
    return grammar


def _depth(value: Any) -> int:
    """Count the levels of objects and lists in a value of JSON."""
    depth, level = 0, [value]
    while level:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth


def _references(schema: Any) -> set[str]:
    """Return the references that a schema holds, each once."""
    found: set[str] = set()
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            found.update([reference] if isinstance(reference, str) else [])
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return found
