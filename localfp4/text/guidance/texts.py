"""Texts that are written without quotes, as terminals: they may not hold what ends them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import llguidance

from localfp4.errors import RequestError
from localfp4.text.guidance.rules import Rules, literal

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
) | frozenset(("$comment", "$defs", "definitions", "$schema", "$id"))
"""Keywords of a schema that ask for nothing."""

_KNOWN = ANNOTATIONS | {"type", "enum", "const", "pattern", "minLength", "maxLength"}


def add_text(
    rules: Rules,
    schema: Mapping[str, Any],
    ends: Sequence[str],
    *,
    is_strict: bool = False,
    trimmed: str = "",
) -> str:
    """Return what matches a text, without regard to what stands before and after it.

    Args:
        rules: Where terminals go.
        schema: Of a string.
        ends: What the text may not hold.
        is_strict: Refuse keywords that are not enforced.
        trimmed: A character that it may neither begin nor end with.

    Raises:
        RequestError: A keyword cannot be enforced, or nothing is left of an enumeration.
    """
    if is_strict:
        refuse_unknown(schema, _KNOWN, "a text")
    chosen = _enumerated(schema)
    if chosen is not None:
        return _one_of(rules, [text for text in chosen if _can_stand(text, ends, trimmed)])
    parts = ["/(?s:.*)/"]
    if ends:
        held = "|".join(map(_escaped, ends))
        parts.append(f"~/(?s:.*)({held})(?s:.*)/")
    if trimmed:
        edge = _escaped(trimmed)
        parts.append(f"~/{edge}(?s:.*)/ & ~/(?s:.*){edge}/")
    if isinstance(pattern := schema.get("pattern"), str):
        parts.append(f"/{searched(pattern)}/")
    if (length := _length(schema)) is not None:
        parts.append(f"/(?s:.{{{length}}})/")
    return rules.terminal(" & ".join(parts))


def refuse_unknown(schema: Mapping[str, Any], known: frozenset[str], of: str) -> None:
    """Refuse keywords of a schema that are not enforced.

    Raises:
        RequestError: There are some.
    """
    unknown = sorted(schema.keys() - known)
    if unknown:
        raise RequestError(
            f"In the way this model writes tool calls, {', '.join(unknown)} of {of} cannot be "
            "enforced; leave it out, or do not ask for strict calls."
        )


def searched(pattern: str) -> str:
    """Return an expression for whole texts in which a pattern of JSON Schema is found.

    Such a pattern may match anywhere unless it is anchored; llguidance knows no anchors within.
    """
    found = []
    for branch in _branches(pattern):
        anchored = branch.startswith("^")
        ended = re.search(r"(?<!\\)(\\\\)*\$$", branch) is not None
        body = branch[anchored : len(branch) - ended]
        found.append(f"{'' if anchored else '(?s:.*)'}(?:{body}){'' if ended else '(?s:.*)'}")
    return llguidance.regex_to_lark("|".join(found), "dw")


def _branches(pattern: str) -> list[str]:
    """Split a pattern at the bars that stand in no group."""
    branches, depth, in_class = [""], 0, False
    for part in re.findall(r"\\.|[\s\S]", pattern):
        if part == "|" and not depth and not in_class:
            branches.append("")
            continue
        branches[-1] += part
        if in_class:
            in_class = part != "]"
        elif part == "[":
            in_class = True
        else:
            depth += {"(": 1, ")": -1}.get(part, 0)
    return branches


def _enumerated(schema: Mapping[str, Any]) -> list[str] | None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return None
    return [value for value in values if isinstance(value, str)]


def _one_of(rules: Rules, texts: Sequence[str]) -> str:
    if not texts:
        raise RequestError("An argument of a tool has no value that this model could write.")
    return rules.terminal(" | ".join(map(literal, texts)))


def _can_stand(text: str, ends: Sequence[str], trimmed: str) -> bool:
    is_trimmed = not trimmed or text == text.strip(trimmed)
    return is_trimmed and not any(end in text for end in ends)


def _length(schema: Mapping[str, Any]) -> str | None:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if not isinstance(least, int) or not isinstance(most, int | None):
        raise RequestError("minLength and maxLength must be whole numbers.")
    if not least and most is None:
        return None
    return f"{least},{'' if most is None else most}"


def _escaped(text: str) -> str:
    return re.escape(text).replace("/", "\\/").replace("\n", "n")
