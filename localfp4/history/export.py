"""Conversations as documents: Markdown for people, JSON for programs."""

import json
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localfp4.history.excerpt import UNSEEN, one_line
from localfp4.history.turns import SavedConversation, Turn

_FENCES = re.compile("^ {0,3}(`{3,})", re.MULTILINE)
_END_IN_WORDS = {
    "stop": "stop",
    "length": "length limit",
    "tool_calls": "tool call",
    "cancelled": "stopped",
    None: "broken off",
}


def write_new(path: Path, document: str) -> None:
    """Write a document to a file that is not there yet; where that fails, nothing is left of it.

    Raises:
        OSError: The file is there already, or cannot be written.
        ValueError: The path can be none.
    """
    with path.open("x", encoding="utf-8", errors="replace") as file:
        try:
            file.write(document)
            file.flush()
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise


def as_markdown(conversation: SavedConversation) -> str:
    """Return the branch that was on the screen as a Markdown document.

    What the model thought is folded. Nothing is escaped: what was said is Markdown itself.
    """
    title = one_line(conversation.title) or f"Conversation {conversation.id}"
    parts = [f"# {title}"]
    if conversation.model:
        parts.append(f"Model: {one_line(conversation.model)}")
    if conversation.system:
        parts += ["## System prompt", conversation.system.strip()]
    for turn in conversation.branch:
        parts += _turn_parts(turn)
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(conversation: SavedConversation) -> str:
    """Return all turns of a conversation, of every branch, as a JSON object.

    Its keys are the fields of :class:`~localfp4.history.SavedConversation`, and those of each of
    its ``turns`` the fields of :class:`~localfp4.history.Turn`. ``arguments`` of a tool call is
    text, as the model wrote it. Control characters are escaped, so that it can be printed.
    """
    document = json.dumps(asdict(conversation), ensure_ascii=False, indent=2)
    return UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", document) + "\n"


def _turn_parts(turn: Turn) -> list[str]:
    if turn.role == "user":
        return ["## You", turn.content.strip()]
    if turn.role == "summary":
        return ["## Summary of what was said before", turn.content.strip()]
    return [
        f"## {one_line(turn.model) or 'Assistant'}",
        _thoughts(turn),
        turn.content.strip(),
        *(_call(call) for call in asdict(turn)["tool_calls"]),
        f"*{' · '.join(_figures(turn))}*",
    ]


def _thoughts(turn: Turn) -> str:
    if not turn.reasoning.strip():
        return ""
    took = [f"{turn.thinking_s:.1f} s"] if turn.thinking_s else []
    took += [f"{turn.thinking_tokens} tokens"] if turn.thinking_tokens else []
    summary = " · ".join(["Thought", *took])
    body = re.sub("</(?=details|summary)", "&lt;/", turn.reasoning.strip(), flags=re.IGNORECASE)
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _call(call: dict[str, Any]) -> str:
    text = f"{call['name']}({call['arguments']})"
    fence = "`" * max((len(run) + 1 for run in _FENCES.findall(text)), default=3)
    return f"{fence}\n{text}\n{fence}"


def _figures(turn: Turn) -> list[str]:
    figures = [f"{turn.output_tokens} tokens"] if turn.output_tokens else []
    if turn.tokens_per_s:
        figures.append(f"{turn.tokens_per_s:.1f} tokens/s")
    if turn.ttft_s:
        figures.append(f"first token after {turn.ttft_s * 1000:.0f} ms")
    if turn.joules is not None:
        figures.append(f"{turn.joules:.0f} J")
    return [*figures, _END_IN_WORDS[turn.finish]]
