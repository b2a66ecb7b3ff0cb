"""Sampling settings of a chat: the model's defaults under what the user set; no widgets."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import RequestError

Settings = dict[str, Any]
"""Fields of :class:`SamplingParams` the user has set, by name."""

_WHOLE = ("max_tokens", "top_k", "seed")
_FRACTIONAL = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_UNSET = ("none", "off")
_CAN_BE_UNSET = ("max_tokens", "seed")
SETTABLE = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", *_FRACTIONAL[3:])


def chosen_settings(sampling: SamplingParams | None) -> Settings:
    """Return the fields of ``sampling`` that differ from the program's defaults.

    The rest is left to the model's own defaults, which are not known before it is loaded.
    """
    if sampling is None:
        return {}
    neutral = SamplingParams()
    values = {f.name: getattr(sampling, f.name) for f in fields(sampling)}
    return {name: value for name, value in values.items() if value != getattr(neutral, name)}


def merge(defaults: SamplingParams, settings: Mapping[str, Any]) -> SamplingParams:
    """Return the model's defaults with the user's settings in their place."""
    return replace(defaults, **settings)


def parse_setting(text: str) -> tuple[str, int | float | None]:
    """Read ``NAME VALUE`` (also ``NAME=VALUE``).

    Raises:
        RequestError: Unknown name, or a value that is malformed or out of range.
    """
    name, _, value = text.strip().replace("=", " ", 1).partition(" ")
    name, value = name.replace("-", "_").lower(), value.strip()
    if name not in SETTABLE:
        raise RequestError(f"There is no setting {name!r}; there are {', '.join(SETTABLE)}.")
    if not value:
        raise RequestError(f"/set {name} needs a value, as in “/set {name} {_example(name)}”.")
    number = _parse_number(name, value)
    merge(SamplingParams(), {name: number})  # raises for a value out of range
    return name, number


def describe(sampling: SamplingParams) -> str:
    """Return the settable values in one line."""
    values = ((name, getattr(sampling, name)) for name in SETTABLE)
    return " · ".join(f"{name} {'off' if value is None else value}" for name, value in values)


def _parse_number(name: str, value: str) -> int | float | None:
    if name in _CAN_BE_UNSET and value.lower() in _UNSET:
        return None
    try:
        return int(value) if name in _WHOLE else float(value)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        off = " or off" if name in _CAN_BE_UNSET else ""
        raise RequestError(f"{name} must be {kind}{off}, not {value!r}.") from None


def _example(name: str) -> str:
    return {"max_tokens": "500", "top_k": "40", "seed": "1"}.get(name, "0.7")
