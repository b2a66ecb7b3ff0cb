"""What single tokens spell, for showing them to people; not for putting texts together."""

from typing import NamedTuple

from localfp4.messages import TokenLogprob
from localfp4.text.tokenizer import Tokenizer


class Spelling(NamedTuple):
    """What a token spells within a text.

    Control tokens are spelled as they are named, and what the vocabulary does not have is empty.

    Attributes:
        text: In which bytes that are no character alone are U+FFFD.
        raw: The bytes themselves.
    """

    text: str
    raw: bytes


class TokenNames(dict[int, Spelling]):
    """The spelling of every token of a vocabulary, each looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Make an empty table."""
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> Spelling:
        raw = self._tokenizer.raw(token_id)
        name = self[token_id] = Spelling(raw.decode(errors="replace"), raw)
        return name

    def spelled(self, logprob: TokenLogprob) -> TokenLogprob:
        """Say in words which tokens are meant."""
        token_id, top = logprob.token_id, logprob.top
        text, raw = self[token_id]
        others = [self[other] for other, _ in top]
        return TokenLogprob(
            token_id,
            logprob.logprob,
            top,
            text,
            tuple([other.text for other in others]),
            raw,
            tuple([other.raw for other in others]),
        )
