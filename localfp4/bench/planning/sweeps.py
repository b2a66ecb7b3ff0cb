"""A sweep in words: ``batch@p=1024`` or ``input=128..8192*2@b=16``; one size varies, others stay."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from localfp4.bench.engines.depth import whole_pages
from localfp4.bench.planning.number_lists import numbers, quoted
from localfp4.bench.workload import Case
from localfp4.errors import UserError

_SIZES: Mapping[str, str] = MappingProxyType(
    {
        "batch": "batch",
        "b": "batch",
        "input": "input_tokens",
        "p": "input_tokens",
        "output": "output_tokens",
        "n": "output_tokens",
        "depth": "depth",
        "d": "depth",
    }
)
"""What users call the sizes of a case."""

_NAMES: Mapping[str, str] = MappingProxyType(
    {"batch": "batch", "input_tokens": "input", "output_tokens": "output", "depth": "depth"}
)
_VALUES: Mapping[str, str] = MappingProxyType({"batch": "1..64*2", "input_tokens": "128..8192*2"})
"""What is run where a sweep does not say."""


def sweep_cases(text: str, base: Case) -> tuple[Case, ...]:
    """Return the cases of a sweep.

    Args:
        text: A size, its values after ``=``, and other sizes that are held after ``@``.
        base: Where all other sizes come from.

    Raises:
        UserError: It is no sweep, or contradicts itself.
    """
    if not text.strip():
        raise UserError("The sweep is empty; write a size that varies, as in batch@p=1024.")
    swept, at, held = text.partition("@")
    name, has_values, values = swept.partition("=")
    size = _size(name, text)
    if not has_values and size not in _VALUES:
        raise UserError(
            f"The sweep {quoted(text)} needs values; write them as in {_NAMES[size]}=64..512*2."
        )
    found = _values(size, values if has_values else _VALUES[size])
    case = replace(base, **_held(held, size, text)) if at else base
    return tuple(replace(case, **{size: value}) for value in found)


def _held(text: str, swept: str, sweep: str) -> dict[str, int]:
    """Read the sizes that stay, such as ``p=1024,n=128``."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, has_value, value = part.partition("=")
        if not has_value:
            raise UserError(
                f"{quoted(part)} in the sweep {quoted(sweep)} holds nothing; write a size and its "
                "value, as in batch@p=1024."
            )
        size = _size(name, sweep)
        if size == swept:
            raise UserError(
                f"The sweep {quoted(sweep)} varies {_NAMES[size]} and holds it at once; leave "
                f"{quoted(part)} out."
            )
        if size in found:
            raise UserError(f"The sweep {quoted(sweep)} holds {_NAMES[size]} twice; leave one out.")
        values = _values(size, value)
        if len(values) > 1:
            raise UserError(
                f"The sweep {quoted(sweep)} holds {_NAMES[size]} at several values; write a sweep for "
                "each."
            )
        found[size] = values[0]
    return found


def _values(size: str, text: str) -> tuple[int, ...]:
    return whole_pages(numbers(text, least=0)) if size == "depth" else numbers(text)


def _size(name: str, sweep: str) -> str:
    name = name.strip()
    if name in _SIZES:
        return _SIZES[name]
    known = list(_NAMES.values())
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Write one as in batch@p=1024."
    raise UserError(
        f"{quoted(name)} in the sweep {quoted(sweep)} is not batch, input, output or depth. {hint}"
    )
