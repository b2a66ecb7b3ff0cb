"""From a request to token ids: the chat template, the tokenizer, and whether it fits."""

from dataclasses import dataclass

from localfp4.errors import ContextError, RequestError
from localfp4.messages import ChatMessage, Request
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, and how many old turns were left out to make them fit."""

    token_ids: list[int]
    dropped_turns: int = 0


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """Encodes requests for one model.

    Attributes:
        tokenizer: ``None`` where the model folder has none; token ids still work.
        template: ``None`` where the model has no chat template.
        vocab_size: Token ids must be below it.
        max_context: Most tokens of prompt and answer together.
    """

    tokenizer: Tokenizer | None
    template: ChatTemplate | None
    vocab_size: int
    max_context: int

    def encode(self, request: Request, *, answer_tokens: int = 1) -> Prompt:
        """Return the prompt of a request.

        Args:
            request: What to encode.
            answer_tokens: Places of the context to leave for an answer.

        Raises:
            RequestError: It is empty, holds impossible token ids, or needs a tokenizer or chat
                template that the model lacks.
            ContextError: It is too long.
        """
        longest = self.max_context - answer_tokens
        if request.messages is not None:
            return self._encode_conversation(request.messages, longest, self._room(request))
        if request.prompt is not None:
            if not request.prompt.strip():
                raise RequestError("The prompt is empty; give some text to continue.")
            prompt = Prompt(self._needed_tokenizer().encode(request.prompt))
        else:
            prompt = Prompt(list(request.token_ids or ()))
        self._check(prompt.token_ids, longest)
        return prompt

    def _encode_conversation(
        self, messages: tuple[ChatMessage, ...], longest: int, room: int | None
    ) -> Prompt:
        """Render a conversation, dropping old turns until ``room`` tokens are left for an answer.

        A last question that leaves less room is kept, as long as it is within ``longest``; with
        ``room`` ``None`` nothing is dropped.
        """
        _check_messages(messages)
        turns = list(messages)
        dropped = 0
        while True:
            prompt = Prompt(self._render(turns), dropped)
            oldest = 1 if turns[0]["role"] == "system" else 0
            fits = room is None or len(prompt.token_ids) <= self.max_context - room
            if fits or oldest >= len(turns) - 1:
                self._check(prompt.token_ids, longest)
                return prompt
            # A question leaves together with its answer, so that roles keep alternating.
            while True:
                del turns[oldest]
                dropped += 1
                if oldest >= len(turns) - 1 or turns[oldest]["role"] == "user":
                    break

    def _room(self, request: Request) -> int | None:
        """Return the tokens to keep free for an answer when old turns may go: a quarter at most."""
        if not request.trim:
            return None
        quarter = max(1, self.max_context // 4)
        return min(request.sampling.max_tokens or quarter, quarter)

    def _render(self, messages: list[ChatMessage]) -> list[int]:
        tokenizer = self._needed_tokenizer()
        if self.template is None:
            raise RequestError(
                "The model has no chat template, so it cannot hold a conversation; "
                "give it plain text with `localfp4 run`."
            )
        text = self.template.render(
            messages, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token
        )
        return tokenizer.encode(text, add_special_tokens=False)

    def _needed_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RequestError(
                "The model folder has no tokenizer.json, so text cannot be encoded; "
                "add the file, or give token ids."
            )
        return self.tokenizer

    def _check(self, token_ids: list[int], longest: int) -> None:
        if not token_ids:
            raise RequestError("The prompt has no tokens; give some text, or a token id.")
        for token in (min(token_ids), max(token_ids)):
            if not 0 <= token < self.vocab_size:
                raise RequestError(
                    f"Token id {token} is not in the vocabulary of {self.vocab_size}."
                )
        if len(token_ids) > longest:
            raise ContextError(
                f"The prompt has {len(token_ids)} tokens, and the context of {self.max_context} "
                f"holds a prompt of {longest}; shorten it, or give the model a longer context."
            )


def _check_messages(messages: tuple[ChatMessage, ...]) -> None:
    """Refuse what is no conversation; front ends pass on what their users wrote."""
    for message in messages:
        if not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise RequestError("Each message of a conversation needs the texts role and content.")
    if not messages or not messages[-1]["content"].strip():
        raise RequestError("The message is empty; write something to answer.")
