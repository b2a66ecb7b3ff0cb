"""How the body of a request is read: no longer than allowed, and refused in words."""

import asyncio
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from localfp4.server.errors import ApiError, bad_request
from localfp4.server.serving import Serving

Model = TypeVar("Model", bound=BaseModel)

_BODY_S = 60.0
_OFF_THE_LOOP_BYTES = 2**17
"""Longer bodies are parsed in a thread: a megabyte takes some 10 ms, in which nobody is answered."""

_BEYOND = 2**64
_MAY_HOLD_HUGE_NUMBERS = re.compile(rb"\d[eE]\+?\d{3}|\d{19}")
_MOST_ENTRIES = 2**14
"""Of an object; what is wrong with each entry is found out, before who reads it counts them."""

_MOST_DETAILS = 64
_MOST_FIELDS = 3
_PLACE_CHARS = 120
_SHOWN_CHARS = 40


async def read_body(http: Request, serving: Serving, model: type[Model]) -> Model:
    """Return the body of a request, checked.

    Raises:
        ApiError: It is too long, takes too long, is encoded, is no JSON, or is not as the model
            wants it.
    """
    data = await _read(http, serving.settings.limits.body_bytes)
    if len(data) > _OFF_THE_LOOP_BYTES:
        return await asyncio.to_thread(parse, data, model)
    return parse(data, model)


def parse(data: bytes, model: type[Model]) -> Model:
    """Return what JSON says.

    Raises:
        ApiError: It is no JSON, or not as the model wants it; the first wrong field is named.
    """
    if not data:
        raise bad_request("The body is empty: send a JSON object.")
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"The body is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.")
    for name, inner in value.items():
        if isinstance(inner, dict) and len(inner) > _MOST_ENTRIES:
            place = _cut(name, _PLACE_CHARS)
            raise bad_request(f"{place}: more than {_MOST_ENTRIES} entries are not read.", place)
    if _MAY_HOLD_HUGE_NUMBERS.search(data):
        _refuse_huge_numbers(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = _wrong_fields(error, value)
        sentence = "; ".join(
            f"{field}: {words}" if field else words
            for field, words in list(wrong.items())[:_MOST_FIELDS]
        )
        raise bad_request(f"{sentence}.", param=next(iter(wrong)) or None) from None


async def _read(http: Request, most: int) -> bytes:
    if http.headers.get("content-encoding", "identity") != "identity":
        raise bad_request("Bodies are read as they are: send it without content-encoding.")
    declared = http.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise _too_long(most)
    parts: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in http.stream():
                length += len(part)
                if length > most:
                    raise _too_long(most)
                parts.append(part)
    except TimeoutError:
        raise ApiError(408, f"The body did not arrive within {_BODY_S:.0f} seconds.") from None
    return b"".join(parts)


def _too_long(most: int) -> ApiError:
    return bad_request(f"The body is longer than the {most} bytes that are read.")


def _refuse_huge_numbers(value: Mapping[str, Any]) -> None:
    for place, number in _numbers("", value):
        if math.isinf(number) or abs(number) >= _BEYOND:
            place = _cut(place, _PLACE_CHARS)
            raise bad_request(f"{place}: the number is too large.", param=place)


def _numbers(place: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(f"{place}.{name}" if place else name, inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(f"{place}[{index}]", inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, value


def _wrong_fields(error: ValidationError, body: object) -> dict[str, str]:
    """Return what is wrong with which field, in words.

    Where a field may be of several kinds, pydantic says of each why it is not that, at a place
    that holds the kind's name as well. Here it is one field; and where one of the kinds fits but
    for something inside, that alone is wrong.
    """
    details: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_context=False)[:_MOST_DETAILS]:
        is_missing = detail["type"] == "missing"
        place = _cut(_place(detail["loc"], body, is_missing=is_missing), _PLACE_CHARS)
        details.setdefault(place, []).append(detail)
    inner = [
        place
        for place in details
        if not any(other.startswith((f"{place}.", f"{place}[")) for other in details)
    ]
    return {place: _in_words(details[place]) for place in inner}


def _place(loc: Sequence[int | str], body: object, *, is_missing: bool) -> str:
    """Return the path of a field as it would be typed.

    Without the names of kinds, which are no part of the body; of what is no part of it either, but
    should be, the name is the last one.
    """
    place, value = "", body
    for position, part in enumerate(loc):
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            place, value = f"{place}[{part}]", value[part]
        elif isinstance(value, dict) and isinstance(part, str) and part in value:
            place, value = f"{place}.{part}" if place else part, value[part]
        elif is_missing and isinstance(part, str) and position == len(loc) - 1:
            place = f"{place}.{part}" if place else part
    return place


def _in_words(details: Sequence[ErrorDetails]) -> str:
    messages = dict.fromkeys(
        detail["msg"].removeprefix("Value error, ").rstrip(".") for detail in details
    )
    words = " or ".join(messages)
    given = details[-1]["input"]
    if details[-1]["type"] == "missing" or not isinstance(given, str | int | float | None):
        return words
    shown = _cut(repr(given), _SHOWN_CHARS)
    return words if shown in words else f"{words}, not {shown}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
