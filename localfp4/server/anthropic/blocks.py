"""The blocks of a message, and the events that tell of them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localfp4.server.stretches import Begun, Ended, Grown, Kind, Step

Json = dict[str, Any]

_NAMES: dict[Kind, str] = {"reasoning": "thinking", "text": "text"}


@dataclass
class Blocks:
    """The blocks so far.

    Attributes:
        content: Those that have ended.
    """

    content: list[Json] = field(default_factory=list)

    def events(self, steps: Iterable[Step]) -> list[Json]:
        """Return the events of the next steps of an answer."""
        return [event for step in steps for event in self._step(step)]

    def _step(self, step: Step) -> list[Json]:
        match step:
            case Begun(kind):
                return [self._event("content_block_start", content_block=_block(kind, ""))]
            case Grown(kind, text):
                return [self._delta(f"{_NAMES[kind]}_delta", **{_NAMES[kind]: text})]
            case Ended("reasoning", text):
                return [self._delta("signature_delta", signature=""), self._end("reasoning", text)]
            case Ended(kind, text):
                return [self._end(kind, text)]
        block = {"type": "tool_use", "id": step.id, "name": step.name, "input": {}}
        events = [
            self._event("content_block_start", content_block=block),
            self._delta("input_json_delta", partial_json=step.arguments),
            self._event("content_block_stop"),
        ]
        self.content.append({**block, "input": json.loads(step.arguments)})
        return events

    def _end(self, kind: Kind, text: str) -> Json:
        event = self._event("content_block_stop")
        self.content.append(_block(kind, text))
        return event

    def _delta(self, kind: str, **text: str) -> Json:
        return self._event("content_block_delta", delta={"type": kind, **text})

    def _event(self, kind: str, **what: Json) -> Json:
        return {"type": kind, "index": len(self.content), **what}


def _block(kind: Kind, text: str) -> Json:
    """Return a block; thoughts bear a signature, which is empty as nobody checks it."""
    if kind == "text":
        return {"type": "text", "text": text}
    return {"type": "thinking", "thinking": text, "signature": ""}
