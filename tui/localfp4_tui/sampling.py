"""Sampling settings of a chat: the model's defaults under what the user set; no widgets."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.settings import likely

_WHOLE = ("max_tokens", "top_k", "seed")
_UNSET = ("none", "off")
_CAN_BE_UNSET = ("max_tokens", "seed")
_THE_MODELS = ("model", "default", "auto")

SETTABLE = {
    "temperature": "0 always takes the likeliest token",
    "top_p": "keep the likeliest up to this total",
    "top_k": "keep this many; 0 keeps all",
    "min_p": "drop below this share of the likeliest",
    "max_tokens": "longest answer, or off",
    "seed": "makes an answer repeatable, or off",
    "repetition_penalty": "above 1 discourages what occurred",
    "presence_penalty": "discourages what was answered before",
    "frequency_penalty": "the same, for each time",
}
"""The fields of :class:`SamplingParams` that a chat offers, and what they do in a few words."""


def merge(defaults: SamplingParams, overrides: Mapping[str, Any]) -> SamplingParams:
    """Return the model's defaults with the user's settings in their place."""
    return replace(defaults, **overrides)


def change(overrides: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return a user's settings after ``NAME VALUE`` (also ``NAME=VALUE``).

    The value ``model`` takes a setting back, so that the model's own holds.

    Raises:
        RequestError: Unknown name, or a value that is malformed or out of range.
    """
    name, _, value = text.strip().replace("=", " ", 1).partition(" ")
    name, value = name.replace("-", "_").lower(), value.strip()
    if name not in SETTABLE:
        raise RequestError(f"There is no setting {name!r}; {likely(name, SETTABLE)}")
    if not value:
        needs = f"/set {name} needs a value, as in “/set {name} {_example(name)}”."
        raise RequestError(f"{needs} {_way_back(name)}")
    others = {key: kept for key, kept in overrides.items() if key != name}
    if value.lower() in _THE_MODELS:
        return others
    try:
        return others | {name: parse_value(name, value)}
    except RequestError as error:
        raise RequestError(f"{error} {_way_back(name)}") from None


def parse_value(name: str, text: str) -> int | float | None:
    """Read the value of a setting; ``off`` is ``None`` where there need be none.

    Raises:
        RequestError: It is malformed or out of range.
    """
    number = _parse_number(name, text)
    merge(SamplingParams(), {name: number}).check_answers()
    return number


def shown(value: float | None) -> str:
    """Return a value as it is typed."""
    return "off" if value is None else str(value)


def describe(sampling: SamplingParams) -> str:
    """Return the settable values in one line."""
    return " · ".join(f"{name} {shown(getattr(sampling, name))}" for name in SETTABLE)


def _parse_number(name: str, value: str) -> int | float | None:
    if name in _CAN_BE_UNSET and value.lower() in _UNSET:
        return None
    try:
        return int(value) if name in _WHOLE else float(value)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        off = " or off" if name in _CAN_BE_UNSET else ""
        raise RequestError(f"{name} must be {kind}{off}, not {value!r}.") from None


def _way_back(name: str) -> str:
    return f"“/set {name} model” takes the model's own."


def _example(name: str) -> str:
    return {"max_tokens": "500", "top_k": "40", "seed": "1"}.get(name, "0.7")
