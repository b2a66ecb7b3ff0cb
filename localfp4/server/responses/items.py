"""The items of a response, and the events that tell of them."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from localfp4.messages import TokenLogprob, ToolCall
from localfp4.server.openai.logprobs import chat_logprobs
from localfp4.server.stretches import Begun, Ended, Grown, Kind, Step

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """What things are called where an item of some kind is written.

    Attributes:
        prefix: Of the item's id.
        item: Its type.
        part: The type of the part that it has.
        parts: Events that the part begins and ends with.
        texts: Events of the part's text.
        index: What counts the parts.
    """

    prefix: str
    item: str
    part: str
    parts: str
    texts: str
    index: str


_MESSAGE = _Form("msg", "message", "output_text", "content_part", "output_text", "content_index")
_THOUGHTS = _Form(
    "rs", "reasoning", "reasoning_text", "content_part", "reasoning_text", "content_index"
)
_SUMMARY = _Form(
    "rs",
    "reasoning",
    "summary_text",
    "reasoning_summary_part",
    "reasoning_summary_text",
    "summary_index",
)


@dataclass
class Items:
    """The items so far.

    Attributes:
        as_summary: Thoughts come as a summary, which clients show that show no thoughts; it is all
            of them.
        output: Items that have ended.
    """

    as_summary: bool = False
    output: list[Json] = field(default_factory=list)
    _id: str = ""

    def events(self, steps: Iterable[Step], *, is_cut: bool = False) -> list[Json]:
        """Return the events of the next steps of an answer.

        Args:
            steps: They.
            is_cut: An item that ends here has not come to its own end.
        """
        return [event for step in steps for event in self._step(step, is_cut)]

    def _step(self, step: Step, is_cut: bool) -> list[Json]:
        match step:
            case Begun(kind):
                return self._begin(self._form(kind))
            case Grown(kind, text, logprobs):
                form = self._form(kind)
                return [self._grown(form, "delta", {"delta": text}, logprobs)]
            case Ended(kind, text, logprobs):
                status = "incomplete" if is_cut else "completed"
                return self._end(self._form(kind), status, text, logprobs)
        return self._call(step)

    def _begin(self, form: _Form) -> list[Json]:
        self._id = _new_id(form.prefix)
        return [
            self._event("output_item.added", item=self._item(form, "in_progress", [])),
            self._event(f"{form.parts}.added", **self._in_part(form), part=_part(form, "", ())),
        ]

    def _end(
        self, form: _Form, status: str, text: str, logprobs: Sequence[TokenLogprob]
    ) -> list[Json]:
        part = _part(form, text, logprobs)
        return [
            self._grown(form, "done", {"text": text}, logprobs),
            self._event(f"{form.parts}.done", **self._in_part(form), part=part),
            self._done(self._item(form, status, [part])),
        ]

    def _call(self, call: ToolCall) -> list[Json]:
        self._id = _new_id("fc")
        item = {"id": self._id, "type": "function_call", "call_id": call.id, "name": call.name}
        begun = {**item, "status": "in_progress", "arguments": ""}
        ended = {**item, "status": "completed", "arguments": call.arguments}
        arguments = "function_call_arguments"
        delta, done = {"delta": call.arguments}, {"name": call.name, "arguments": call.arguments}
        return [
            self._event("output_item.added", item=begun),
            self._event(f"{arguments}.delta", item_id=self._id, **delta),
            self._event(f"{arguments}.done", item_id=self._id, **done),
            self._done(ended),
        ]

    def _done(self, item: Json) -> Json:
        event = self._event("output_item.done", item=item)
        self.output.append(item)
        return event

    def _form(self, kind: Kind) -> _Form:
        if kind == "text":
            return _MESSAGE
        return _SUMMARY if self.as_summary else _THOUGHTS

    def _item(self, form: _Form, status: str, parts: list[Json]) -> Json:
        item = {"id": self._id, "type": form.item, "status": status}
        if form is _SUMMARY:
            return {**item, "summary": parts}
        beside: Json = {"role": "assistant"} if form is _MESSAGE else {"summary": []}
        return {**item, **beside, "content": parts}

    def _grown(self, form: _Form, what: str, text: Json, logprobs: Sequence[TokenLogprob]) -> Json:
        event = self._event(f"{form.texts}.{what}", **self._in_part(form), **text)
        return event | {"logprobs": _logprobs(logprobs)} if form is _MESSAGE else event

    def _in_part(self, form: _Form) -> Json:
        """Return the place of the only part of the item that is written."""
        return {"item_id": self._id, form.index: 0}

    def _event(self, event: str, **what: Any) -> Json:
        return {"type": f"response.{event}", "output_index": len(self.output), **what}


def _part(form: _Form, text: str, logprobs: Sequence[TokenLogprob]) -> Json:
    part: Json = {"type": form.part, "text": text}
    if form is _MESSAGE:
        part |= {"annotations": [], "logprobs": _logprobs(logprobs)}
    return part


def _logprobs(logprobs: Sequence[TokenLogprob]) -> list[Json]:
    written: list[Json] = chat_logprobs(logprobs)["content"]
    return written


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
