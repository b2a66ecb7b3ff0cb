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
        depth: Tokens that are in each context before the prompt, computed and not measured; whole
            pages.
    """

    batch: int
    input_tokens: int
    output_tokens: int
    depth: int = 0

    @property
    def length(self) -> int:
        """Tokens of each context at the end."""
        return self.depth + self.input_tokens + self.output_tokens

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache that the whole batch needs, in full pages."""
        # The last token of an answer is never fed back, so that nothing of it is cached.
        pages = -(-(self.length - 1) // PAGE_SIZE)
        return self.batch * pages * PAGE_SIZE

    def misfit(self, model: ModelInfo) -> str | None:
        """Say why the model as loaded cannot hold the whole batch at once, if so."""
        if self.length > model.max_model_len:
            return f"{self.length} tokens exceed the context of {model.max_model_len}"
        if self.kv_tokens > model.kv_cache_tokens:
            return f"{self.kv_tokens} tokens exceed the KV cache of {model.kv_cache_tokens}"
        return None


def cases(batches: list[int], input_lens: list[int], output_lens: list[int]) -> list[Case]:
    """Return every combination, the batch size changing slowest."""
    return [Case(*sizes) for sizes in product(batches, input_lens, output_lens)]


def requests(
    case: Case, vocab_size: int, random: Random, *, ignore_eos: bool = True
) -> list[Request]:
    """Draw the prompts of one repeat, each after the tokens of its depth; answers are greedy.

    Args:
        case: What to run.
        vocab_size: Token ids are below this.
        random: Decides them.
        ignore_eos: Whether answers have their exact length, whatever the model says.
    """
    sampling = SamplingParams(temperature=0, ignore_eos=ignore_eos, max_tokens=case.output_tokens)
    length = case.depth + case.input_tokens
    return [
        Request(
            id=f"bench-{number}",
            token_ids=tuple(random.choices(range(vocab_size), k=length)),
            sampling=sampling,
        )
        for number in range(case.batch)
    ]
