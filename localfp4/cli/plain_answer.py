"""What comes of one question of the plain chat, as it comes."""

from typing import Any

from localfp4.cli.failure import remark
from localfp4.errors import RequestError
from localfp4.messages import Delta, Event, Failed, Finished
from localfp4.text.sanitize import TerminalSanitizer


class PlainAnswer:
    """An answer that grows, without control characters.

    Args:
        tells_thinking: Whether to remark that the model has begun to think.
    """

    def __init__(self, *, tells_thinking: bool) -> None:
        self._tells_thinking = tells_thinking
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._tokens = 0
        self._thinking_tokens = 0
        self._finished: Finished | None = None
        self._text_sanitizer = TerminalSanitizer()
        self._thought_sanitizer = TerminalSanitizer()

    def take(self, event: Event) -> tuple[str, str]:
        """Add an event and return what it brought: text of the answer, and of the reasoning.

        Raises:
            RequestError: The engine refused the request or could not go on.
        """
        match event:
            case Delta():
                text = self._text_sanitizer.add(event.text)
                thought = self._thought_sanitizer.add(event.reasoning)
                self._tokens += len(event.token_ids)
                if thought:
                    self._note_thinking(len(event.token_ids))
                self._texts.append(text)
                self._thoughts.append(thought)
                return text, thought
            case Finished():
                self._finished = event
            case Failed():
                raise RequestError(event.message)
        return "", ""

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of the answer's turn."""
        finished = self._finished
        return {
            "content": "".join(self._texts),
            "reasoning": "".join(self._thoughts),
            "finish": finished.reason if finished else None,
            "output_tokens": finished.output_tokens if finished else self._tokens,
            "thinking_tokens": self._thinking_tokens,
            "tokens_per_s": finished.decode_tokens_per_s if finished else 0.0,
            "ttft_s": finished.ttft_s if finished else 0.0,
        }

    def _note_thinking(self, tokens: int) -> None:
        if self._tells_thinking and not self._thinking_tokens:
            remark("Thinking …")
        self._thinking_tokens += tokens
