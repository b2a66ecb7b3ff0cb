"""A model's vocabulary as llguidance wants it: the bytes of every token, control tokens apart."""

from collections.abc import Collection

import llguidance

from localfp4.errors import RequestError
from localfp4.text.control_tokens import is_plain
from localfp4.text.tokenizer import Tokenizer


def make_vocabulary(
    tokenizer: Tokenizer, stop_ids: Collection[int], vocab_size: int
) -> llguidance.LLTokenizer:
    """Return what matchers work on; takes about a second for 150,000 tokens.

    Control tokens match nothing but their own ids in a grammar, so that no text holds any.

    Args:
        tokenizer: The model's.
        stop_ids: What ends an answer, wherever a grammar may end.
        vocab_size: Width of the model's logits, of which a part may be padding.

    Raises:
        RequestError: No token ends an answer, or tokens stand for no bytes of their own.
    """
    ends = sorted(token for token in stop_ids if token < vocab_size)
    if not ends:
        raise RequestError(
            "The model names no token that ends an answer, so its answers can be held to no form."
        )
    return llguidance.LLTokenizer(_Tokens(tokenizer, ends, vocab_size), eos_token=ends)


class _Tokens(llguidance.TokenizerWrapper):
    """The vocabulary in the shape in which llguidance reads it."""

    def __init__(self, tokenizer: Tokenizer, ends: list[int], vocab_size: int) -> None:
        if not tokenizer.is_bytewise:
            raise RequestError(
                "What a token of this model spells depends on its neighbours, so its answers can "
                "be held to no form."
            )
        controls = {
            token
            for token, text in tokenizer.added_tokens.items()
            if tokenizer.is_special(token) or not is_plain(text)
        }
        self.is_tokenizer_wrapper = True
        self.eos_token_id = ends[0]
        self.bos_token_id = None
        self.tokens = [tokenizer.raw(token) for token in range(vocab_size)]
        self.special_token_ids = sorted(controls.union(ends))
