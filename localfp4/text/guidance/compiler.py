"""From what a request asks of its answer to the guide that holds the answer to it."""

from threading import Lock
from typing import TYPE_CHECKING

from localfp4.errors import RequestError
from localfp4.messages import Request
from localfp4.text.parsers.choose import AnswerFormat
from localfp4.text.parsers.parser import Opening
from localfp4.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from localfp4.text.guidance.guide import LlGuide
    from localfp4.text.guidance.matchers import Matchers


class GuideCompiler:
    """Makes guides for one model; safe to share between threads.

    Nothing of llguidance is loaded, and the vocabulary is not taken in, before the first one.
    """

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int], vocab_size: int) -> None:
        """Take over what a model has.

        Args:
            tokenizer: Its own.
            stop_ids: Tokens that end an answer; each may come wherever a form may end.
            vocab_size: Width of its logits.
        """
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._vocab_size = vocab_size
        self._lock = Lock()
        self._made: Matchers | None = None

    def compile(
        self, request: Request, answer_format: AnswerFormat | None, opening: Opening
    ) -> "LlGuide":
        """Return the guide of one answer, for requests that need one.

        Args:
            request: What is asked; see :func:`localfp4.text.guidance.needed.is_guided`.
            answer_format: How the model writes answers to conversations.
            opening: Where in an answer the prompt ends.

        Raises:
            RequestError: The form is malformed, too large, or not one that can be enforced; or
                llguidance is not installed.
        """
        with self._lock:
            matchers = self._matchers()
            from localfp4.text.guidance.answer import answer_grammar
            from localfp4.text.guidance.guide import LlGuide

            drops = self._tokenizer.drops_first_blank and opening.within is None
            source = answer_grammar(request, answer_format, opening, drops_blank=drops)
            return LlGuide(matchers.matcher(source), self._vocab_size, self._stop_ids)

    def _matchers(self) -> "Matchers":
        if self._made is None:
            try:
                from localfp4.text.guidance.matchers import Matchers
                from localfp4.text.guidance.vocabulary import make_vocabulary
            except ModuleNotFoundError as error:
                raise RequestError(
                    "Structured output needs llguidance: pip install 'localfp4[serve]'"
                ) from error
            vocabulary = make_vocabulary(self._tokenizer, self._stop_ids, self._vocab_size)
            self._made = Matchers(vocabulary)
        return self._made
