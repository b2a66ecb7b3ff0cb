"""A grammar while it is put together: llguidance's variant of Lark, with grammars inside it.

See https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from localfp4.errors import RequestError

_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""JSON on one line, as most models write it in calls: where blanks are free, small models fill their
answers with them."""

_ESCAPES = 'nrbtf\\"'
"""After a backslash, where both JSON and Python shall read the same."""


class Rules:
    """The rules, terminals and inner grammars of one answer.

    Every method that adds something returns what refers to it in other rules.
    """

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """Begin with nothing.

        Args:
            tokens: Ids of the control tokens that may be referred to.
        """
        self._tokens = tokens
        self._lines: list[str] = []
        self._names = 0
        self._inner: list[dict[str, Any]] = []

    def has(self, token: str) -> bool:
        """Say whether there is a control token."""
        return token in self._tokens

    def token(self, text: str) -> str:
        """Return what matches a control token.

        Raises:
            RequestError: The model's vocabulary is not wholly that of its protocol.
        """
        if text not in self._tokens:
            raise RequestError(
                f"The model has no token {text}, which such an answer needs; ask for a free one."
            )
        return f"<[{self._tokens[text]}]>"

    def rule(self, body: str) -> str:
        """Add a rule."""
        name = self.name()
        self.define(name, body)
        return name

    def name(self) -> str:
        """Return the name of a rule that is to be added by :meth:`define`; for recursion."""
        self._names += 1
        return f"r_{self._names}"

    def define(self, name: str, body: str) -> None:
        """Add a rule of such a name."""
        self._lines.append(f"{name}: {body}")

    def terminal(self, body: str) -> str:
        """Add a terminal, within which operators of regular expressions hold."""
        name = self.name().upper()
        self.define(name, body)
        return name

    def schema(self, schema: Any, *, lenient: bool = False, python: bool = False) -> str:
        """Add JSON that follows a schema.

        Args:
            schema: Any JSON schema.
            lenient: Leave out what llguidance cannot enforce of it, rather than refuse it.
            python: Only write strings that mean the same in Python.
        """
        options: dict[str, Any] = {**_ONE_LINE, "lenient": lenient}
        if python:
            options["json_allowed_escapes"] = _ESCAPES
        if schema is False:
            raise RequestError("The schema false allows nothing at all.")
        whole = {} if schema is True else dict(schema)
        return self._nested({"json_schema": whole | {"x-guidance": options}})

    def lark(self, source: str) -> str:
        """Add a grammar that stands for itself, with a rule ``start``."""
        return self._nested({"lark_grammar": source})

    def source(self, start: str) -> str:
        """Return the whole grammar, as llguidance takes it."""
        options = '%llguidance {"no_forcing": true}'
        main = "\n".join([options, f"start: {start}", *self._lines])
        return json.dumps({"grammars": [{"lark_grammar": main}, *self._inner]})

    def _nested(self, grammar: dict[str, Any]) -> str:
        name = f"inner_{len(self._inner)}"
        self._inner.append({"name": name, **grammar})
        return f"@{name}"


def literal(text: str) -> str:
    """Return what matches a text, in a rule or a terminal."""
    return json.dumps(text)


def either(bodies: Iterable[str]) -> str:
    """Return what matches one of several things."""
    return f"({' | '.join(bodies)})"


def repeated(body: str, between: str, least: int = 1, most: int | None = None) -> str:
    """Return what matches something several times, with something between."""
    if most == 0:
        return '""'
    further = "" if most is None else str(most - 1)
    whole = body if most == 1 else f"{body} ({between} {body}){{{max(least - 1, 0)},{further}}}"
    return f"({whole})?" if least == 0 else f"({whole})"


def in_order(rules: Rules, parts: Iterable[tuple[str, bool]], between: str) -> str:
    """Return what matches some of several parts in their order.

    Args:
        rules: Where the rules go that this needs.
        parts: Each with whether it has to be there.
        between: What stands between two.
    """
    beginnings, tail = ['""'], '""'
    for part, is_needed in reversed(list(parts)):
        first = f"{part} {tail}"
        beginnings = [first] if is_needed else [*beginnings, first]
        further = f"{between} {part}" if is_needed else f"({between} {part})?"
        tail = rules.rule(f"{further} {tail}")
    return either(beginnings)
