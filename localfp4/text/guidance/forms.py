"""The form that an answer's content was asked to have, as a grammar."""

import json
from typing import Any

import llguidance
from llguidance.gbnf_to_lark import any_to_lark

from localfp4.errors import RequestError
from localfp4.messages import Constraint
from localfp4.text.guidance.limits import check_grammar, check_schema
from localfp4.text.guidance.rules import Rules, literal


def add_form(rules: Rules, constraint: Constraint) -> str:
    """Add what matches content of a form, and return its name.

    Raises:
        RequestError: The form is malformed, or larger than what is compiled.
    """
    try:
        constraint.text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"The {constraint.kind} holds a surrogate, which is half a character."
        ) from error
    match constraint.kind:
        case "json_object":
            return rules.schema({"type": "object"})
        case "json_schema":
            return rules.schema(check_schema(_json(constraint), "The JSON schema"))
        case "regex":
            return rules.lark(f"start: /{llguidance.regex_to_lark(constraint.text, '')}/")
        case "grammar":
            return rules.lark(check_grammar(_lark(constraint.text)))
        case "choice":
            return rules.terminal(" | ".join(map(literal, _choices(constraint))))


def _json(constraint: Constraint) -> Any:
    try:
        return json.loads(constraint.text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise RequestError(f"The {constraint.kind} is not JSON: {reason}.") from error


def _choices(constraint: Constraint) -> list[str]:
    choices = _json(constraint)
    is_list = isinstance(choices, list) and choices
    if not is_list or not all(isinstance(choice, str) for choice in choices):
        raise RequestError("What to choose from must be a list of texts, and not an empty one.")
    return list(choices)


def _lark(grammar: str) -> str:
    """Return a grammar in Lark's syntax; GBNF, as llama.cpp has it, is translated."""
    try:
        return any_to_lark(grammar)
    except Exception as error:  # the translation raises whatever its reading of the text runs into
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"The grammar is neither Lark nor GBNF: {reason}.") from error
