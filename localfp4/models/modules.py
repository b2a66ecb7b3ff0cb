"""What a module is made of."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass


def modules_of(value: object) -> Iterator[object]:
    """Yield a module, or each of a tuple of them, and everything that it is made of."""
    yield value
    if is_dataclass(value) and not isinstance(value, type):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, tuple):
        for part in value:
            yield from modules_of(part)
