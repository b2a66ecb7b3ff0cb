"""What evaluations need of a loaded model, whoever runs it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What a model thought of the tokens of a text that were not given.

    Attributes:
        logprobs: Log-probability of each, natural, computed from float32 logits.
        is_greedy: Whether each was the likeliest.
    """

    logprobs: tuple[float, ...]
    is_greedy: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """A prompt to continue greedily.

    Attributes:
        prompt: Token ids.
        max_tokens: Most tokens to add.
        stop: Strings that end the answer and are not part of it.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    stop: tuple[str, ...] = ()


class Scorer(Protocol):
    """A model that scores and continues token sequences, several at once."""

    @property
    def context_tokens(self) -> int:
        """Longest sequence."""

    @property
    def start_token(self) -> int | None:
        """The id that the tokenizer puts before a text, if it puts one."""

    @property
    def end_token(self) -> int:
        """The id that separates texts, for sequences that need a first token and have none."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""

    def chat_text(self, messages: Sequence[dict[str, str]]) -> str:
        """Return what the model's chat template makes of a conversation that waits for an answer.

        A last message of the assistant is the beginning of the answer.

        Raises:
            UserError: The model has no chat template.
        """

    def scores(
        self, sequences: Sequence[Sequence[int]], given: Sequence[int] | None = None
    ) -> list[TokenScores]:
        """Score sequences of at least two ids each, in their order.

        Args:
            sequences: Token ids. What several have in common at the beginning may be computed once.
            given: How many ids of each are only read, at least one; ``None`` scores all but the
                first.
        """

    def logits(self, sequences: Iterable[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Yield float32 logits ``[T, V]`` on the CPU of each sequence, one after the other."""

    def generate(self, prompts: Sequence[Generation]) -> list[str]:
        """Continue prompts greedily and return what was added, in their order."""
