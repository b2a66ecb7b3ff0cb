"""What single tokens spell, for showing them to people; not for putting texts together."""

from localfp4.text.tokenizer import Tokenizer


class TokenNames(dict[int, str]):
    """The spelling of every token of a vocabulary, each looked up once.

    Control tokens are spelled as they are named, bytes that are no character alone as U+FFFD, and
    what the vocabulary does not have is empty.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Make an empty table."""
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> str:
        name = self[token_id] = self._tokenizer.spelling(token_id)
        return name
