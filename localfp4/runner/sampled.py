"""A token that has been chosen; torch-free."""

from dataclasses import dataclass

from localfp4.messages import TokenLogprob


@dataclass(slots=True)
class Sampled:
    """A chosen token, with log-probabilities where they were asked for.

    Not frozen, like :class:`localfp4.runner.work.Work`.
    """

    token_id: int
    logprob: TokenLogprob | None = None
