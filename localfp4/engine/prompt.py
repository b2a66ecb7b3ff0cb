"""From a request to token ids, and back to what an answer says; whether a prompt fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localfp4.engine.length import is_certainly_longer
from localfp4.errors import ContextError, RequestError
from localfp4.messages import Request, Thinks
from localfp4.text.answer_reader import AnswerReader, chat_reader, opening_of
from localfp4.text.chat import ChatEncoder
from localfp4.text.conversation import Conversation
from localfp4.text.guidance.needed import has_tools
from localfp4.text.parsers.choose import AnswerFormat, parser_for, thinks
from localfp4.text.parsers.parser import NEW_ANSWER, Opening, Tools
from localfp4.text.template import ChatTemplate
from localfp4.text.token_names import TokenNames
from localfp4.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, and how many old turns were left out to make them fit."""

    token_ids: list[int]
    dropped_turns: int = 0


class PromptEncoder:
    """Encodes requests for one model, and reads its answers to them.

    Attributes:
        tokenizer: ``None`` where the model folder has none; token ids still work.
        vocab_size: Token ids must be below it.
        max_context: Most tokens of prompt and answer together.
        thinks: Whether the model reasons before it answers a conversation.
        token_names: What tokens spell, one by one; ``None`` where there is no tokenizer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        template: ChatTemplate | None,
        vocab_size: int,
        max_context: int,
    ) -> None:
        """Take over what a model has; ``template`` is ``None`` where it has no chat template."""
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        self.max_context = max_context
        self.token_names = None if tokenizer is None else TokenNames(tokenizer)
        self.thinks: Thinks = "never"
        self._chat: ChatEncoder | None = None
        self._answer_format: AnswerFormat | None = None
        if tokenizer is not None and template is not None:
            answers = self._answer_format = parser_for(tokenizer, template)
            self._chat = ChatEncoder(tokenizer, template, answers.reasoning if answers else ())
            self.thinks = thinks(template, answers)

    def reader(self, request: Request, prompt: Sequence[int]) -> AnswerReader | None:
        """Return what reads the answer to a request; ``None`` where it can have no text.

        Only answers to conversations are told apart into reasoning, content and tool calls.
        """
        if self.tokenizer is None:
            return None
        if request.messages is None:
            return AnswerReader(self.tokenizer.detokenizer(after=prompt))
        tools = Tools.from_schemas(request.tools if has_tools(request) else ())
        within = _conversation(request).breaks_off_in
        return chat_reader(self.tokenizer, self._answer_format, tools, prompt, within)

    def protocol(
        self, request: Request, prompt: Sequence[int]
    ) -> tuple[AnswerFormat | None, Opening]:
        """Return how the answer to a request is written, and where in it the prompt ends.

        Where it is no conversation, and where the model has no protocol, an answer is plain text.
        """
        if self.tokenizer is None or request.messages is None:
            return None, NEW_ANSWER
        within = _conversation(request).breaks_off_in
        if self._answer_format is None:
            return None, Opening(within=within)
        return self._answer_format, opening_of(self.tokenizer, self._answer_format, prompt, within)

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
        if not request.trim and is_certainly_longer(request, self.max_context, self.count):
            raise ContextError(
                f"The prompt has more than {self.max_context} tokens, and the context holds a "
                f"prompt of {longest}; shorten it, or give the model a longer context."
            )
        if request.messages is not None:
            return self._encode_conversation(_conversation(request), longest, self._room(request))
        if request.prompt is not None and not request.prompt.strip():
            raise RequestError("The prompt is empty; give some text to continue.")
        prompt = Prompt(self.token_ids(request))
        self._check(prompt.token_ids, longest)
        return prompt

    def token_ids(self, request: Request) -> list[int]:
        """Return the whole prompt of a request, however long or short it is.

        Raises:
            RequestError: It holds impossible token ids, or needs a tokenizer or chat template that
                the model lacks.
        """
        if request.messages is not None:
            conversation = _conversation(request)
            conversation.check()
            return self._needed_chat().encode(conversation)
        if request.prompt is not None:
            return self._needed_tokenizer().encode(request.prompt)
        self._check_vocabulary(request.token_ids or ())
        return list(request.token_ids or ())

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return what token ids spell, control tokens by their names.

        Raises:
            RequestError: There is no tokenizer, or they are outside the vocabulary.
        """
        tokenizer = self._needed_tokenizer()
        self._check_vocabulary(token_ids)
        return tokenizer.decode(token_ids, skip_special_tokens=False)

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        """Return what each token spells by itself.

        Raises:
            RequestError: There is no tokenizer, or they are outside the vocabulary.
        """
        tokenizer = self._needed_tokenizer()
        self._check_vocabulary(token_ids)
        return list(map(tokenizer.spelling, token_ids))

    def render(self, request: Request) -> str:
        """Return what the chat template makes of a conversation.

        Raises:
            RequestError: The template is missing, or cannot express the conversation.
        """
        conversation = _conversation(request)
        conversation.check()
        return self._needed_chat().render(conversation)

    def count(self, text: str) -> int:
        """Return how many tokens a text has by itself.

        Raises:
            RequestError: There is no tokenizer.
        """
        return self._needed_tokenizer().count(text)

    def _encode_conversation(
        self, conversation: Conversation, longest: int, room: int | None
    ) -> Prompt:
        """Render a conversation, dropping old turns until ``room`` tokens are left for an answer.

        A last question that leaves less room is kept, with the answer to it that is gone on with,
        as long as it is within ``longest``; with ``room`` ``None`` nothing is dropped.
        """
        conversation.check()
        chat = self._needed_chat()
        turns = list(conversation.messages)
        kept = _last_exchange(turns) if conversation.continues else 1
        dropped = 0
        while True:
            prompt = Prompt(chat.encode(replace(conversation, messages=turns)), dropped)
            oldest = 1 if turns[0]["role"] in ("system", "developer") else 0
            fits = room is None or len(prompt.token_ids) <= self.max_context - room
            if fits or oldest >= len(turns) - kept:
                self._check(prompt.token_ids, longest)
                return prompt
            # A question leaves together with its answer, so that roles keep alternating.
            while True:
                del turns[oldest]
                dropped += 1
                if oldest >= len(turns) - kept or turns[oldest]["role"] == "user":
                    break

    def _room(self, request: Request) -> int | None:
        """Return the tokens to keep free for an answer when old turns may go: a quarter at most."""
        if not request.trim:
            return None
        quarter = max(1, self.max_context // 4)
        return min(request.sampling.max_tokens or quarter, quarter)

    def _needed_chat(self) -> ChatEncoder:
        self._needed_tokenizer()
        if self._chat is None:
            raise RequestError(
                "The model has no chat template, so it cannot hold a conversation; "
                "give it plain text with `localfp4 run`."
            )
        return self._chat

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
        self._check_vocabulary(token_ids)
        if len(token_ids) > longest:
            raise ContextError(
                f"The prompt has {len(token_ids)} tokens, and the context of {self.max_context} "
                f"holds a prompt of {longest}; shorten it, or give the model a longer context."
            )

    def _check_vocabulary(self, token_ids: Sequence[int]) -> None:
        for token in (min(token_ids, default=0), max(token_ids, default=0)):
            if not 0 <= token < self.vocab_size:
                raise RequestError(
                    f"Token id {token} is not in the vocabulary of {self.vocab_size}."
                )


def _conversation(request: Request) -> Conversation:
    return Conversation(
        messages=request.messages or (),
        tools=request.tools,
        thinking=request.thinking,
        reasoning_effort=request.reasoning_effort,
        options=request.template_options,
        continues=request.continues,
    )


def _last_exchange(turns: Sequence[Mapping[str, Any]]) -> int:
    """Return how many turns there are from the last question on; one where there is none."""
    roles = [turn["role"] for turn in reversed(turns)]
    return roles.index("user") + 1 if "user" in roles else 1
