"""What an answer must look like, as front ends ask for it; stdlib only, picklable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from localfp4.errors import RequestError

ConstraintKind = Literal["json_object", "json_schema", "regex", "grammar", "choice"]

LONGEST_CONSTRAINT: Mapping[ConstraintKind, int] = {
    "json_object": 2**18,
    "json_schema": 2**18,
    "regex": 2**13,
    "grammar": 2**16,
    "choice": 2**18,
}
"""Characters of a form; real ones have some thousand.

An expression may take time and memory that grow with the square: 32,000 characters took 4 s and
500 MB, 8,000 took 0.2 s.
"""


@dataclass(frozen=True, slots=True)
class Constraint:
    """The form of what an answer says, beside what it thinks before and the tools that it calls.

    Attributes:
        kind: ``json_object`` (any object), ``json_schema``, ``regex`` (of the whole answer, as
            Rust's ``regex`` crate writes it), ``grammar`` (llguidance's variant of Lark, or GBNF)
            or ``choice`` (one of several texts, as a JSON list).
        text: The schema, expression, grammar or list; empty for ``json_object``.

    Raises:
        RequestError: It is too long, or empty where it must not be.
    """

    kind: ConstraintKind
    text: str = ""

    def __post_init__(self) -> None:
        longest = LONGEST_CONSTRAINT[self.kind]
        if len(self.text) > longest:
            raise RequestError(
                f"A {self.kind} of {len(self.text)} characters is too long; at most {longest} are "
                "read."
            )
        if not self.text and self.kind != "json_object":
            raise RequestError(f"The {self.kind} that the answer shall follow is empty.")


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether an answer calls tools.

    Attributes:
        mode: ``auto`` leaves it to the model, ``none`` keeps it from calling any, ``required``
            makes it call at least one.
        name: The only tool that may be called, with ``required``; empty for any.
        parallel: Whether it may call several.
        strict: Whether arguments are held to the tool's schema with ``auto`` as well; with
            ``required`` they always are.
    """

    mode: Literal["auto", "none", "required"] = "auto"
    name: str = ""
    parallel: bool = True
    strict: bool = False


FREE_CHOICE = ToolChoice()
"""The model decides, and is held to nothing."""
