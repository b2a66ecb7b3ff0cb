"""Records from JSON that anybody may have written: every type is checked; torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_Record = TypeVar("_Record")

_MOST_SHOWN = 60


class WrongValueError(ValueError):
    """A value is missing or of another kind; the message says where."""


def record(kind: type[_Record], value: object, where: str = "") -> _Record:
    """Return a dataclass of plain values, of other such dataclasses, and of sequences of them.

    Fields that are missing get their defaults; what the dataclass lacks is ignored.

    Args:
        kind: The dataclass.
        value: What :func:`dataclasses.asdict` had made of one, after it was JSON.
        where: Names the value in errors.

    Raises:
        WrongValueError: A field without default is missing, or a value is of another kind.
    """
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):  # type: ignore[arg-type]
        inner = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            found[field.name] = _value(hints[field.name], value[field.name], inner)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise WrongValueError(f"{inner} is missing")
    return kind(**found)


def _value(kind: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        return _of_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(where, f"one of {', '.join(map(str, arguments))}", value)
        return value
    if origin is tuple or origin is Sequence:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        inner = arguments[0]
        return tuple(_value(inner, one, f"{where}[{at}]") for at, one in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {name: _value(arguments[1], one, f"{where}.{name}") for name, one in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return record(kind, value, where)
    return _plain(kind, value, where)


def _of_union(kinds: Sequence[Any], value: object, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    # An int that stands for a float must not become one where both are allowed.
    wanted = sorted(
        (kind for kind in kinds if kind is not type(None)), key=lambda one: one is float
    )
    for kind in wanted[:-1]:
        try:
            return _value(kind, value, where)
        except WrongValueError:
            continue
    return _value(wanted[-1], value, where)


def _plain(kind: Any, value: object, where: str) -> Any:
    """Return a string, truth value or number; whole numbers also stand for others."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
        raise _wrong(where, names[kind], value)
    return value


def _wrong(where: str, wanted: str, value: object) -> WrongValueError:
    shown = repr(value)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
    return WrongValueError(f"{where or 'it'} must be {wanted}, not {shown}")
