"""A model whose probabilities are written in a table: the next token depends on the last alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from localfp4.evaluate.scorer import Generation, TokenScores

VOCABULARY = 130


class FakeScorer:
    """Bigrams over bytes of ASCII, with a start token of its own."""

    def __init__(
        self,
        seed: int = 0,
        *,
        noise: float = 0.0,
        start: int | None = None,
        context: int = 64,
        vocabulary: int = VOCABULARY,
        answer: Callable[[str], str] | None = None,
    ) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.table = 2.0 * torch.randn(vocabulary, vocabulary, generator=chance)
        if noise:
            self.table += noise * torch.randn(vocabulary, vocabulary, generator=chance)
        self.context_tokens = context
        self.start_token = start
        self.end_token = vocabulary - 1
        self.answer = answer

    def encode(self, text: str) -> list[int]:
        return list(text.encode("ascii"))

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(id_ for id_ in ids if id_ < 128).decode("ascii")

    def chat_text(self, messages: Sequence[dict[str, str]]) -> str:
        return "\n".join(message["content"] for message in messages)

    def scores(
        self, sequences: Sequence[Sequence[int]], given: Sequence[int] | None = None
    ) -> list[TokenScores]:
        found = []
        for ids, first in zip(sequences, given or [1] * len(sequences), strict=True):
            logprobs = self._logits(ids).log_softmax(-1)[first - 1 : -1]
            came = torch.tensor(ids[first:])
            chosen = logprobs.gather(1, came[:, None])[:, 0]
            greedy = logprobs.argmax(-1) == came
            found.append(TokenScores(tuple(chosen.tolist()), tuple(greedy.tolist())))
        return found

    def logits(self, sequences: Iterable[Sequence[int]]) -> Iterator[torch.Tensor]:
        return map(self._logits, sequences)

    def generate(self, prompts: Sequence[Generation]) -> list[str]:
        assert self.answer is not None
        return [self.answer(self.decode(one.prompt)) for one in prompts]

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        assert len(ids) <= self.context_tokens
        return self.table[torch.tensor(ids)]


class Reader(FakeScorer):
    """A model that has read the text: what its answer function says is likelier than all else."""

    def scores(
        self, sequences: Sequence[Sequence[int]], given: Sequence[int] | None = None
    ) -> list[TokenScores]:
        assert given is not None
        assert self.answer is not None
        found = []
        for ids, first in zip(sequences, given, strict=True):
            is_it = self.answer(self.decode(ids[:first])) in self.decode(ids[first:])
            found.append(TokenScores((-1.0 if is_it else -2.0,) * (len(ids) - first), ()))
        return found
