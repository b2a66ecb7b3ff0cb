"""Log-probabilities of a prompt's tokens, put together chunk by chunk."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field

from localfp4.engine.sequence import Sequence
from localfp4.errors import RequestError
from localfp4.messages import PromptScored, TokenLogprob
from localfp4.text.token_names import TokenNames

MOST_SCORES = 2**18
"""Log-probabilities of a prompt, alternatives included.

Sending them took 0.2 s with 20 alternatives, and 1.4 s without, when there are most tokens.
"""


@dataclass(slots=True)
class PromptScores:
    """What has been found so far; a preempted sequence goes on where it was.

    Attributes:
        names: What tokens spell; ``None`` where the model has no tokenizer.
        logprobs: Of the tokens after the first, in order.
    """

    names: TokenNames | None
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def add(
        self,
        sequence: Sequence,
        scores: Items[float],
        top: Items[tuple[tuple[int, float], ...]],
    ) -> None:
        """Take what a step found; positions before need no scores from now on."""
        first = len(self.logprobs) + 1
        following = sequence.tokens[first : first + len(scores)]
        for token, score, others in zip(following, scores, top or [()] * len(scores), strict=True):
            self.logprobs.append(self._spelled(TokenLogprob(token, score, others)))
        sequence.collect_from = len(self.logprobs)

    def event(self, sequence: Sequence) -> PromptScored:
        """Return all of them."""
        first = sequence.tokens[0]
        text = "" if self.names is None else self.names[first].text
        return PromptScored(sequence.id, tuple(self.logprobs), first, text)

    def _spelled(self, logprob: TokenLogprob) -> TokenLogprob:
        return logprob if self.names is None else self.names.spelled(logprob)


def check_size(prompt_tokens: int, alternatives: int) -> None:
    """Refuse to report more than can be sent while others wait.

    Raises:
        RequestError: There would be more than :data:`MOST_SCORES`.
    """
    if prompt_tokens * (1 + alternatives) > MOST_SCORES:
        raise RequestError(
            f"A prompt of {prompt_tokens} tokens has too many log-probabilities with "
            f"{alternatives} alternatives each, over {MOST_SCORES}; ask for fewer alternatives, or "
            "send the prompt in parts."
        )
