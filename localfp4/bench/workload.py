"""What is measured: sizes of batches, prompts and answers, and the requests they become.

Prompts are random token ids: no text, no tokenizer, nothing that a prefix cache could reuse.
"""

from dataclasses import dataclass
from itertools import product
from random import Random

from localfp4.config import PAGE_SIZE, SamplingParams
from localfp4.messages import ModelInfo, Request


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the table.

    Attributes:
        batch: Requests that arrive together.
        input_tokens: Length of each prompt.
        output_tokens: Length of each answer, exactly.
    """

    batch: int
    input_tokens: int
    output_tokens: int

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that the whole batch needs, in full pages."""
        # The last token of an answer is never fed back, so that nothing of it is cached.
        pages = -(-(self.input_tokens + self.output_tokens - 1) // PAGE_SIZE)
        return self.batch * pages * PAGE_SIZE

    def misfit(self, model: ModelInfo) -> str | None:
        """Say why the model as loaded cannot hold the whole batch at once, if so."""
        length = self.input_tokens + self.output_tokens
        if length > model.max_model_len:
            return f"{length} tokens exceed the context of {model.max_model_len}"
        if self.kv_tokens > model.kv_cache_tokens:
            return f"{self.kv_tokens} tokens exceed the KV cache of {model.kv_cache_tokens}"
        return None


def cases(batches: list[int], input_lens: list[int], output_lens: list[int]) -> list[Case]:
    """Return every combination, the batch size changing slowest."""
    return [Case(*sizes) for sizes in product(batches, input_lens, output_lens)]


def requests(case: Case, vocab_size: int, random: Random) -> list[Request]:
    """Draw the prompts of one repeat; answers are greedy and never end early."""
    sampling = SamplingParams(temperature=0, ignore_eos=True, max_tokens=case.output_tokens)
    return [
        Request(
            id=f"bench-{number}",
            token_ids=tuple(random.choices(range(vocab_size), k=case.input_tokens)),
            sampling=sampling,
        )
        for number in range(case.batch)
    ]
