"""The grammar of a whole answer: what is thought first, then content or tool calls.

Whatever it lets through is read by the model's parser (:mod:`localfp4.text.parsers`) as content of
the form that was asked for, or as calls of tools that there are.
"""

from typing import Protocol

from localfp4.errors import RequestError
from localfp4.messages import Request
from localfp4.text.guidance.forms import add_form
from localfp4.text.guidance.gemma4_calls import add_gemma4
from localfp4.text.guidance.harmony_answer import add_harmony
from localfp4.text.guidance.json_calls import (
    add_hermes,
    add_lfm2,
    add_llama3,
    add_mistral,
    add_mistral_list,
    add_plain_json,
)
from localfp4.text.guidance.needed import has_tools
from localfp4.text.guidance.rules import Rules, either
from localfp4.text.guidance.tools import Tool, chosen_tools
from localfp4.text.guidance.xml_calls import add_glm, add_qwen_xml, add_seed
from localfp4.text.parsers.choose import AnswerFormat, CallStyle
from localfp4.text.parsers.parser import NEW_ANSWER, Opening


class _AddCalls(Protocol):
    def __call__(self, rules: Rules, tools: list[Tool], *, parallel: bool) -> str: ...


_ADD_CALLS: dict[str, _AddCalls] = {
    "gemma4": add_gemma4,
    "glm": add_glm,
    "hermes": add_hermes,
    "lfm2": add_lfm2,
    "mistral": add_mistral,
    "mistral_list": add_mistral_list,
    "plain_json": add_plain_json,
    "qwen_xml": add_qwen_xml,
    "seed": add_seed,
}


_NO_CALL = r"/[^{\s\x1c-\x1f](?s:.*)/"
"""What is said where nothing marks a call, and so what begins with a brace is read as one."""


def answer_grammar(
    request: Request, answer_format: AnswerFormat | None, opening: Opening, *, drops_blank: bool
) -> str:
    """Return the grammar of the answer to a request, as llguidance takes it.

    Args:
        request: What is asked.
        answer_format: How the model writes answers to conversations.
        opening: Where in an answer the prompt ends.
        drops_blank: The answer loses a blank at its beginning, so one is put there.

    Raises:
        RequestError: It cannot be enforced, or asks for what the model cannot write.
    """
    if request.messages is None:
        answer_format, opening = None, NEW_ANSWER
    answer = _Answer(request, answer_format, opening)
    if answer_format is not None and answer_format.calls == "harmony":
        return answer.rules.source(answer.in_harmony())
    return answer.rules.source(answer.in_tags(drops_blank=drops_blank))


class _Answer:
    """One answer, put together of its parts."""

    def __init__(
        self, request: Request, answer_format: AnswerFormat | None, opening: Opening
    ) -> None:
        """Add the parts to the rules."""
        markers = {} if answer_format is None else answer_format.markers
        self.rules = Rules({text: token for token, text in markers.items()})
        self._regions = () if answer_format is None else answer_format.reasoning
        self._opening = opening
        self._style = None if answer_format is None else answer_format.calls
        self._must_call = request.tool_choice.mode == "required"
        self._parallel = request.tool_choice.parallel
        self._tools = _tools(request, self._style)
        self._form = None
        if request.constraint is not None and not self._must_call:
            if self._is_begun:
                raise RequestError(
                    "An answer that has begun cannot be held to a form; leave out its beginning."
                )
            self._form = add_form(self.rules, request.constraint)

    def in_harmony(self) -> str:
        """Return what matches the answer as messages on channels."""
        return add_harmony(
            self.rules, self._opening, self._tools, self._form, must_call=self._must_call
        )

    def in_tags(self, *, drops_blank: bool) -> str:
        """Return what matches the answer with control tokens around thoughts and calls."""
        calls = self._calls()
        after_thought = self.rules.rule(self._said(self._form, calls))
        at_once = after_thought
        if drops_blank and self._form is not None:
            at_once = self._said(f'" " {self._form}', calls)
        return self._with_thoughts(at_once, after_thought)

    @property
    def _is_begun(self) -> bool:
        return self._opening.within == "content"

    def _calls(self) -> str | None:
        """Return what matches calls; ``None`` where there can be none."""
        if not self._tools:
            return None
        if self._style == "plain_json" and (self._form is not None or self._is_begun):
            return None  # where other content may look like a call, or come before it
        if self._style == "llama3":
            is_marked = self._form is not None or self._is_begun
            calls = add_llama3(
                self.rules, self._tools, parallel=self._parallel, is_marked=is_marked
            )
        else:
            add_calls = _ADD_CALLS[str(self._style)]
            calls = add_calls(self.rules, self._tools, parallel=self._parallel)
        return self.rules.rule(calls)

    def _said(self, form: str | None, calls: str | None) -> str:
        """Return what matches content, calls, or one after the other."""
        if self._must_call and calls is None:
            raise RequestError(
                "An answer that has begun cannot go on with a tool call; leave out its beginning."
            )
        if self._must_call:
            return f"{self._text()}? {calls}" if self._is_begun else str(calls)
        if form is not None:
            return form if calls is None else either([form, calls])
        has_marks = self._style not in ("llama3", "plain_json") or self._is_begun
        if calls is not None and not has_marks:
            return either(['""', self.rules.terminal(_NO_CALL), calls])
        return f"{self._text()}? {calls}?" if calls is not None else f"{self._text()}?"

    def _with_thoughts(self, at_once: str, after_thought: str) -> str:
        """Let thoughts come before what is said, unless they are over."""
        if not self._regions or self._is_begun:
            return at_once
        rest = {
            region.opens: f'{self._text()}? {self.rules.token(region.closes)} "\\n"{{0,4}} '
            f"{after_thought}"
            for region in self._regions
        }
        opened = self._opening.token
        if self._opening.within == "thinking" and opened not in rest:
            opened = self._regions[0].opens
        if opened in rest:
            return rest[opened]
        if opened in {region.closes for region in self._regions}:
            return at_once
        thoughts = (f"{self.rules.token(opens)} {thought}" for opens, thought in rest.items())
        return either([at_once, *thoughts])

    def _text(self) -> str:
        """Return what matches any text, which holds no control tokens."""
        return self.rules.terminal("/(?s:.+)/")


def _tools(request: Request, style: CallStyle | None) -> list[Tool]:
    """Return what may be called, and read as a call.

    Raises:
        RequestError: Something has to be called, and nothing can be.
    """
    tools = chosen_tools(request) if has_tools(request) and style is not None else []
    if request.tool_choice.mode == "required" and not tools:
        raise RequestError(
            "The answer shall call a tool, and there is none."
            if not request.tools
            else "The model cannot be made to call a tool: its chat template knows no tool calls."
        )
    return tools
