"""OpenAI's harmony, the protocol of gpt-oss: messages with a header and a channel.

``<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>``;
a tool call is a message to ``functions.f`` on the channel commentary that ends with ``<|call|>``.
See https://cookbook.openai.com/articles/openai-harmony.
"""

import re

from localfp4.text.parsers.parser import (
    NEW_ANSWER,
    Call,
    Content,
    Opening,
    Piece,
    Reasoning,
    Tools,
    loads,
    make_call,
)

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
END = "<|end|>"
ENDS = (END, "<|call|>", "<|return|>")
MARKERS = (START, CHANNEL, CONSTRAIN, MESSAGE, *ENDS)

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=([^\s<]+)")
_LONGEST_HEADER = 256
"""Characters after which a header counts as text of a model that forgot to write one."""


class HarmonyParser:
    """Splits an answer at its messages.

    The prompt has opened the first one's header, or its body where it is gone on with.
    """

    def __init__(self, tools: Tools, opening: Opening = NEW_ANSWER) -> None:
        self._tools = tools
        self._header = ""
        self._message: type[Content] | type[Reasoning] | None = None
        if opening.within is not None:
            self._message = Content if opening.within == "content" else Reasoning
        self._callee: str | None = None
        self._body = ""
        self._has_reasoned = self._message is Reasoning

    def text(self, text: str) -> list[Piece]:
        """Take the next piece of text."""
        if self._callee is not None:
            self._body += text
            return []
        if self._message is not None:
            return [self._message(text)]
        self._header += text
        if len(self._header) <= _LONGEST_HEADER:
            return []
        return self._begin(Content, self._take_header())

    def mark(self, token: str) -> list[Piece]:
        """Take a control token."""
        if token in (START, *ENDS):
            return self._end_message(token)
        if self._is_in_header and token == MESSAGE:
            return self._begin_message()
        return self.text(token)

    def end(self) -> list[Piece]:
        """Close the message there is."""
        return self._end_message("")

    @property
    def _is_in_header(self) -> bool:
        return self._message is None and self._callee is None

    def _begin_message(self) -> list[Piece]:
        """Decide by the header what the message is; one to somebody unknown is shown whole."""
        header = self._take_header()
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        name = "" if recipient is None else recipient[1].removeprefix("functions.")
        if name in self._tools.parameters:
            self._callee, self._body, self._header = name, "", header
            return []
        if recipient is not None:
            return self._begin(Content, f"{header}{MESSAGE}")
        if channel is not None and channel[1] == "analysis":
            apart = "\n" if self._has_reasoned else ""
            self._has_reasoned = True
            return self._begin(Reasoning, apart)
        return self._begin(Content, "")

    def _begin(self, kind: type[Content] | type[Reasoning], text: str) -> list[Piece]:
        self._message = kind
        return [kind(text)]

    def _end_message(self, token: str) -> list[Piece]:
        callee, self._callee, self._message = self._callee, None, None
        header = self._take_header()
        if callee is None:
            return [Content("" if header.strip() in ("", "assistant") else header)]
        call: Call | None = make_call(callee, loads(self._body))
        if call is not None:
            return [call]
        return [Content(f"{header}{MESSAGE}{self._body}{token}")]

    def _take_header(self) -> str:
        header, self._header = self._header, ""
        return header
