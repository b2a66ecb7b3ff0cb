"""What ``run`` asks the model: from arguments and piped input to a request."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from localfp4.errors import RequestError
from localfp4.messages import ChatMessage, Constraint, ModelInfo, Request

_STDIN = "-"


def read_words(words: Sequence[str]) -> tuple[str | None, str]:
    """Return the model and the prompt that the arguments and piped input amount to.

    One argument is the prompt, and names no model. Piped input follows it after a blank line; where
    the prompt is ``-`` or missing, the input is the prompt.

    Raises:
        RequestError: There is no prompt, or there are too many arguments.
    """
    if len(words) > 2:
        raise RequestError("run takes a model and a prompt; put the prompt in quotes.")
    model = words[0] if len(words) == 2 else None
    argument = words[-1] if words else ""
    if argument == _STDIN:
        parts = [_read_stdin()]
    else:
        parts = [argument, "" if _is_typed() else _read_stdin()]
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt:
        raise RequestError('The prompt is empty; try: localfp4 run "What is NVFP4?"')
    return model, well_formed(prompt)


def make_request(
    info: ModelInfo,
    prompt: str,
    system: str | None,
    sampling: Mapping[str, Any],
    thinking: Mapping[str, Any],
    constraint: Constraint | None = None,
) -> Request:
    """Put the prompt as a conversation if the model knows conversations, else as plain text.

    Args:
        info: The model; its own sampling defaults hold where ``sampling`` says nothing.
        prompt: What the user asks.
        system: Instructions that precede it.
        sampling: Fields of ``SamplingParams``.
        thinking: Fields of ``Request`` that say how much the model reasons.
        constraint: The form of the answer.

    Raises:
        RequestError: There are instructions, but the model has no place for them.
    """
    params = replace(info.sampling, **sampling)
    if info.has_chat_template:
        turns = (*opening(system), user_turn(prompt))
        return Request("run", messages=turns, sampling=params, constraint=constraint, **thinking)
    if system:
        raise RequestError(
            f"{info.name} has no chat template and so no place for --system; "
            "put the instructions into the prompt."
        )
    return Request("run", prompt=prompt, sampling=params, constraint=constraint)


def schema_in(path: Path | None) -> Constraint | None:
    """Return the JSON schema that a file holds; ``None`` without a file.

    Raises:
        RequestError: It cannot be read, or is not JSON.
    """
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RequestError(f"The JSON schema {path} cannot be read: {reason}.") from error
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The JSON schema {path} is not JSON: {error}.") from error
    return Constraint("json_schema", text)


def opening(system: str | None) -> list[ChatMessage]:
    """Return the turns before the first question."""
    return [ChatMessage(role="system", content=well_formed(system))] if system else []


def user_turn(text: str) -> ChatMessage:
    """Return a question as a turn."""
    return ChatMessage(role="user", content=well_formed(text))


def well_formed(text: str) -> str:
    """Replace lone surrogates, which stand for undecodable bytes of an argument."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _is_typed() -> bool:
    return sys.stdin is None or sys.stdin.isatty()


def _read_stdin() -> str:
    """Read all of standard input as UTF-8, whatever the console's encoding."""
    if sys.stdin is None:
        return ""
    return sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")
