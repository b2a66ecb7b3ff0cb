"""The tokens of an answer to its pieces: text where it is text, control tokens by their ids."""

from collections.abc import Mapping, Sequence

from localfp4.text.conversation import Part
from localfp4.text.detokenizer import Detokenizer
from localfp4.text.parsers.choose import AnswerFormat
from localfp4.text.parsers.parser import (
    AnswerParser,
    Content,
    Opening,
    Piece,
    Reasoning,
    Tools,
    joined,
)
from localfp4.text.tokenizer import Tokenizer


class AnswerReader:
    """Reads one answer, token by token.

    Attributes:
        reasoning_tokens: How many brought text that was thought; control tokens are not counted.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        parser: AnswerParser | None = None,
        markers: Mapping[int, str] | None = None,
    ) -> None:
        """Start an answer.

        Args:
            detokenizer: Turns tokens into text.
            parser: Tells the pieces apart; without one, all is content.
            markers: The control tokens that it wants to see, by id.
        """
        self._detokenizer = detokenizer
        self._parser = parser
        self._markers = markers or {}
        self.reasoning_tokens = 0
        self._undecided = 0
        """Tokens all of whose text is held back, and which may be thought or not."""

    def add(self, token_id: int) -> list[Piece]:
        """Return the pieces that a token completes."""
        if self._parser is None:
            text = self._detokenizer.add(token_id)
            return [Content(text)] if text else []
        marker = self._markers.get(token_id)
        if marker is None:
            self._undecided += 1
            return self._counted(joined(self._parser.text(self._detokenizer.add(token_id))))
        rest = self._parser.text(self._detokenizer.flush())
        pieces = self._counted(joined([*rest, *self._parser.mark(marker)]))
        self._undecided = 0
        return pieces

    def end(self) -> list[Piece]:
        """Return what is still held back."""
        rest = self._detokenizer.flush()
        if self._parser is None:
            return joined([Content(rest)])
        return self._counted(joined([*self._parser.text(rest), *self._parser.end()]))

    def _counted(self, pieces: list[Piece]) -> list[Piece]:
        """Note what the tokens were whose text has come."""
        if pieces:
            if isinstance(pieces[0], Reasoning):
                self.reasoning_tokens += self._undecided
            self._undecided = 0
        return pieces


def chat_reader(
    tokenizer: Tokenizer,
    answer_format: AnswerFormat | None,
    tools: Tools,
    prompt: Sequence[int],
    within: Part | None = None,
) -> AnswerReader:
    """Return a reader of the answer to a conversation.

    Args:
        tokenizer: The model's.
        answer_format: How it writes; ``None`` for plain text.
        tools: What it may call.
        prompt: The conversation's tokens; it may end where reasoning has begun.
        within: What the answer breaks off in that the prompt ends with; ``None`` for a new one.
    """
    detokenizer = tokenizer.detokenizer(after=() if within is None else prompt)
    if answer_format is None:
        return AnswerReader(detokenizer)
    opening = opening_of(tokenizer, answer_format, prompt, within)
    parser = answer_format.make_parser(tools, opening)
    return AnswerReader(detokenizer, parser, answer_format.markers)


def opening_of(
    tokenizer: Tokenizer,
    answer_format: AnswerFormat | None,
    prompt: Sequence[int],
    within: Part | None = None,
) -> Opening:
    """Return where in an answer a prompt ends; the arguments are those of :func:`chat_reader`."""
    markers = answer_format.markers if answer_format is not None else {}
    last = next((n for n in reversed(range(len(prompt))) if prompt[n] in markers), None)
    token = None if last is None or within == "content" else markers[prompt[last]]
    if within is None and last is not None and tokenizer.decode(prompt[last + 1 :]).strip():
        token = None
    return Opening(token, within)
