"""A token that has been chosen; torch-free."""

from dataclasses import dataclass

from localfp4.messages import TokenLogprob


@dataclass(frozen=True, slots=True)
class Sampled:
    """A chosen token, with log-probabilities where they were asked for."""

    token_id: int
    logprob: TokenLogprob | None = None
