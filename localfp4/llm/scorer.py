"""A loaded model as evaluations take it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from localfp4.config import SamplingParams
from localfp4.engine.prompt import PromptEncoder
from localfp4.errors import RequestError
from localfp4.evaluate.scorer import Generation, TokenScores
from localfp4.messages import ChatMessage, Request

if TYPE_CHECKING:
    from localfp4.llm.llm import LLM


class LlmScorer:
    """A :class:`~localfp4.evaluate.scorer.Scorer` over an :class:`~localfp4.llm.llm.LLM`."""

    def __init__(self, llm: "LLM", prompts: PromptEncoder) -> None:
        """Take what runs the model, and what encodes its prompts.

        Raises:
            RequestError: The model has no tokenizer.
        """
        if prompts.tokenizer is None:
            raise RequestError(
                "The model folder has no tokenizer.json, so it cannot be evaluated on text; "
                "add the file."
            )
        self._llm = llm
        self._prompts = prompts
        self._tokenizer = prompts.tokenizer

    @property
    def context_tokens(self) -> int:
        """Longest sequence."""
        return min(self._llm.info.max_model_len, self._llm.info.kv_cache_tokens)

    @property
    def start_token(self) -> int | None:
        """The id that the tokenizer puts before a text, if it puts one."""
        with_special = self._tokenizer.encode("a")
        plain = self._tokenizer.encode("a", add_special_tokens=False)
        begins = with_special[: len(plain)] != plain
        return with_special[0] if begins else None

    @property
    def end_token(self) -> int:
        """The id that separates texts, for sequences that need a first token and have none.

        It is the one that the tokenizer calls the beginning of a text, else the end.

        Raises:
            RequestError: It names neither.
        """
        for name in (self._tokenizer.bos_token, self._tokenizer.eos_token):
            found = None if name is None else self._tokenizer.token_id(name)
            if found is not None:
                return found
        raise RequestError(
            "The tokenizer names no token that begins or ends a text; add bos_token or eos_token "
            "to tokenizer_config.json."
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special tokens are only those that are spelled in it."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def chat_text(self, messages: Sequence[dict[str, str]]) -> str:
        """Return what the chat template makes of a conversation that waits for an answer.

        A last message of the assistant is the beginning of the answer.

        Raises:
            UserError: The model has no chat template.
        """
        return self._prompts.render(_conversation(messages))

    def scores(
        self, sequences: Sequence[Sequence[int]], given: Sequence[int] | None = None
    ) -> list[TokenScores]:
        """Score sequences in their order, each from its ``given``-th id on; see :meth:`LLM.scores`."""
        return self._llm.scores(sequences, given)

    def logits(self, sequences: Iterable[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Yield float32 logits ``[T, V]`` on the CPU of each sequence, one after the other."""
        return map(self._llm.logits, sequences)

    def generate(self, prompts: Sequence[Generation]) -> list[str]:
        """Continue prompts greedily and return what was added, in their order."""
        if not prompts:
            return []
        answers = self._llm.generate(
            [{"prompt_token_ids": one.prompt} for one in prompts],
            [
                SamplingParams(max_tokens=one.max_tokens, temperature=0.0, stop=one.stop)
                for one in prompts
            ],
        )
        return [answer.text for answer in answers]


def _conversation(messages: Sequence[dict[str, str]]) -> Request:
    continues = bool(messages) and messages[-1].get("role") == "assistant"
    turns = [ChatMessage(role=one["role"], content=one["content"]) for one in messages]
    return Request("", messages=tuple(turns), continues=continues)
