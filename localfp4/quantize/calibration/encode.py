"""From documents to one stream of token ids, as the model would see them."""

from collections.abc import Iterable, Iterator

from localfp4.errors import RequestError
from localfp4.quantize.calibration.documents import Chat, Document
from localfp4.text.chat import ChatEncoder
from localfp4.text.conversation import Conversation
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

_PROBE = "a"


class DocumentEncoder:
    """Encodes documents for one model.

    Attributes:
        start: The id that the tokenizer puts before a text, if it puts one.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None) -> None:
        """Take over what a model has; ``template`` is ``None`` where it has no chat template."""
        self._tokenizer = tokenizer
        self._chat = None if template is None else ChatEncoder(tokenizer, template)
        bare = tokenizer.encode(_PROBE, add_special_tokens=False)
        whole = tokenizer.encode(_PROBE)
        self.start = whole[0] if whole[:1] != bare[:1] else None
        ends = sorted(tokenizer.eos_ids)
        self._end = ends[0] if ends else None

    def stream(self, documents: Iterable[Document]) -> Iterator[list[int]]:
        """Yield the ids of each document that is not empty.

        Each begins with the tokenizer's first token; where there is none, texts end with the
        model's last one. A conversation that the template refuses, such as one with a system
        message for a model that takes none, is left out.
        """
        for document in documents:
            ids = (
                self._conversation(document) if isinstance(document, Chat) else self._text(document)
            )
            if ids and self.start is not None and ids[0] != self.start:
                ids = [self.start, *ids]
            if ids:
                yield ids

    def _text(self, text: str) -> list[int]:
        if not text.strip():
            return []
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return [*ids, self._end] if self.start is None and self._end is not None else ids

    def _conversation(self, chat: Chat) -> list[int]:
        if self._chat is None:
            return self._text(chat.plainly)
        # An answer ends a conversation here, so that nothing asks for another one.
        options = {"add_generation_prompt": chat.messages[-1].get("role") != "assistant"}
        try:
            return self._chat.encode(Conversation(chat.messages, chat.tools, options=options))
        except RequestError:
            return []
