"""Keeps text that a user wrote from becoming a token that steers the model.

A tokenizer reads ``<|im_end|>`` as the end of a turn wherever it stands. In a prompt only those
that the chat template wrote may be that; all others are encoded as the characters they are made
of. Tokens of plain text that are merely added to a vocabulary, such as runs of line breaks, stay
what they are.
"""

import re
from collections.abc import Sequence
from functools import cached_property

from localfp4.errors import RequestError
from localfp4.text.marking import MarkedText
from localfp4.text.tokenizer import Span, Tokenizer

_HTML = re.compile(
    "</?(a|b|blockquote|caption|code|em|h[1-6]|i|img|li|ol|p|s|strong|sub|sup|table|tbody|td|tfoot|"
    "th|thead|tr|u|ul)>"
)
"""Gemma has these as added tokens, and uses them for HTML."""


class ControlTokens:
    """The control tokens of one model with one chat template."""

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        """Tell them apart.

        Args:
            tokenizer: The model's.
            template: Source of its chat template; what it spells out is a control token.
        """
        self._tokenizer = tokenizer
        self.spellings = {
            token_id: text
            for token_id, text in tokenizer.added_tokens.items()
            if tokenizer.is_special(token_id) or not is_plain(text) or text in template
        }
        ends = {end for text in self.spellings.values() for end in (text[0], text[-1])}
        self.ends = frozenset(end for end in ends if not end.isspace())
        """The first and last characters; whoever writes neither writes no part of a token."""

    def encode(self, prompt: MarkedText, plain: str) -> list[int]:
        """Return the token ids of a rendered prompt.

        Without forged control tokens this is what encoding ``plain`` gives.

        Args:
            prompt: A conversation rendered with the characters in :attr:`ends` marked.
            plain: The same without marks; reads otherwise where the template looks into what
                users wrote. It counts where that made no difference to the control tokens.

        Raises:
            RequestError: A forged control token cannot be encoded otherwise.
        """
        ids, spans = self._tokenizer.encode_and_find(prompt.text, self.spellings)
        genuine = [span for span in spans if not self._is_forged(span, prompt)]
        if len(genuine) < len(spans):
            return self._encode_apart(prompt.text, genuine)
        if plain != prompt.text:
            plain_ids = self._tokenizer.encode(plain, add_special_tokens=False)
            if self._controls(plain_ids) == self._controls(ids):
                return plain_ids
        return ids

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [token_id for token_id in ids if token_id in self.spellings]

    def _is_forged(self, span: Span, prompt: MarkedText) -> bool:
        """Say whether a token is a control token of which a user wrote at least a part.

        Normalisation can make one of other characters, such as full-width ones, too.
        """
        spelling = self.spellings[span.token_id].strip()
        places = range(span.start, span.end)
        return prompt.text[span.start : span.end].strip() != spelling or any(
            place in prompt.places for place in places
        )

    def _encode_apart(self, text: str, genuine: Sequence[Span]) -> list[int]:
        """Encode with one control token only, a stand-in for those that the template wrote."""
        stand_in, tokenizer = self._harmless
        pieces, end = [], 0
        for span in genuine:
            pieces += [text[end : span.start], stand_in]
            end = span.end
        pieces.append(text[end:])
        stand_in_id = tokenizer.token_id(stand_in)
        originals = iter(genuine)
        ids = []
        for token_id in tokenizer.encode("".join(pieces), add_special_tokens=False):
            if token_id == stand_in_id:
                ids.append(next(originals).token_id)
            else:
                ids.append(self._original_id(tokenizer, token_id))
        if self._controls(ids) != [span.token_id for span in genuine]:
            raise RequestError(
                "The conversation spells out a control token of the model, and its tokenizer "
                "cannot tell the two apart; write it in other characters."
            )
        return ids

    def _original_id(self, tokenizer: Tokenizer, token_id: int) -> int:
        """Return the id that an added token of the harmless tokenizer has in the model's own."""
        text = tokenizer.added_tokens.get(token_id)
        original = None if text is None else self._tokenizer.token_id(text)
        return token_id if original is None else original

    @cached_property
    def _harmless(self) -> tuple[str, Tokenizer]:
        """The stand-in, and the tokenizer that has it in place of its control tokens."""
        return self._tokenizer.without(self.spellings.keys())


def is_plain(text: str) -> bool:
    """Say whether an added token is mere text: words, white space, HTML."""
    return bool(re.fullmatch(r"[\w\s▁]+", text) or _HTML.fullmatch(text))
