"""Text to token ids and back, by the ``tokenizer.json`` of a model folder.

A thin layer over the ``tokenizers`` library: it adds the special tokens' names, which stand in
other files, errors in words, and streaming. Chat templates are not its business.
"""

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import tokenizers

from localfp4.errors import CheckpointError
from localfp4.text.detokenizer import (
    ByteDetokenizer,
    Detokenizer,
    TokenTexts,
    WindowDetokenizer,
)
from localfp4.text.files import read_json
from localfp4.text.pieces import piece_decoder

_OTHER_FORMATS = ("tekken.json", "tokenizer.model")


class Span(NamedTuple):
    """A token and the characters that it stands for: ``text[start:end]``."""

    token_id: int
    start: int
    end: int


class Tokenizer:
    """A model's vocabulary: encodes, decodes and streams. Safe to share between threads."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
    ) -> None:
        """Take over ``backend``, whose truncation and padding are switched off."""
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._bos_token = bos_token
        self._eos_token = eos_token
        added = backend.get_added_tokens_decoder()
        self._added = {id_: token.content for id_, token in added.items()}
        self._special_ids = frozenset(id_ for id_, token in added.items() if token.special)
        pieces = piece_decoder(_decoder_state(backend))
        self._texts = None
        if pieces is not None:
            self._texts = {skip: TokenTexts(pieces, self._speller(skip)) for skip in (False, True)}

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Load ``tokenizer.json`` and the names of the special tokens beside it.

        Raises:
            CheckpointError: ``tokenizer.json`` is missing or broken.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(_missing_message(folder))
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(
                f"{path} cannot be loaded ({error}): fetch it again, or a newer localfp4."
            ) from error
        named = (
            read_json(folder / "tokenizer_config.json"),
            read_json(folder / "special_tokens_map.json"),
        )
        return cls(
            backend,
            bos_token=_special_token(named, "bos_token"),
            eos_token=_special_token(named, "eos_token"),
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; a model's logits may be wider."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text, as chat templates spell it."""
        return self._bos_token

    @property
    def eos_token(self) -> str | None:
        """The token that ends a text, as chat templates spell it."""
        return self._eos_token

    @property
    def eos_ids(self) -> frozenset[int]:
        """The id of :attr:`eos_token`, if the vocabulary has it."""
        if self._eos_token is None:
            return frozenset()
        token_id = self.token_id(self._eos_token)
        return frozenset() if token_id is None else frozenset({token_id})

    @property
    def added_tokens(self) -> dict[int, str]:
        """Tokens that are found before a text is split, special ones and others, by id."""
        return self._added

    def is_special(self, token_id: int) -> bool:
        """Say whether a token is one that decoding leaves out."""
        return token_id in self._special_ids

    def token_id(self, text: str) -> int | None:
        """Return the id of the one token spelled ``text`` in the vocabulary."""
        return self._backend.token_to_id(text)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the token ids of ``text``; lone surrogates in it are read as U+FFFD.

        Special tokens spelled out in ``text`` become those tokens.

        Args:
            text: What to encode.
            add_special_tokens: Add what the tokenizer puts around every text, such as BOS; a
                rendered chat template has it already.
        """
        return self._backend.encode(
            without_surrogates(text), add_special_tokens=add_special_tokens
        ).ids

    def encode_and_find(self, text: str, wanted: Collection[int]) -> tuple[list[int], list[Span]]:
        """Return the token ids of ``text``, without additions, and the places of some.

        Args:
            text: What to encode, without surrogates.
            wanted: The tokens to find. White space that one swallows belongs to its place.
        """
        encoding = self._backend.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        found = [(id_, encoding.token_to_chars(n)) for n, id_ in enumerate(ids) if id_ in wanted]
        return ids, [Span(id_, *place) for id_, place in found if place is not None]

    def without(self, token_ids: Collection[int]) -> tuple[str, Self]:
        """Return this tokenizer without some added tokens, and a new special token it has instead.

        The new one's spelling is random, so that no text contains it. The ids of other added
        tokens may differ. Both tokenizers share one model, so this takes neither time nor memory.
        """
        backend = tokenizers.Tokenizer(self._backend.model)
        if self._backend.normalizer is not None:
            backend.normalizer = self._backend.normalizer
        if self._backend.pre_tokenizer is not None:
            backend.pre_tokenizer = self._backend.pre_tokenizer
        added = self._backend.get_added_tokens_decoder()
        backend.add_tokens([token for id_, token in added.items() if id_ not in token_ids])
        new = f"<{secrets.token_hex(16)}>"
        backend.add_special_tokens([tokenizers.AddedToken(new, normalized=False)])
        return new, type(self)(backend)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of ``ids``; ids outside the vocabulary are left out."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def spelling(self, token_id: int) -> str:
        """Return what one token spells within a text; bytes that are no character are U+FFFD."""
        return self.raw(token_id).decode(errors="replace")

    def raw(self, token_id: int) -> bytes:
        """Return the bytes that one token stands for within a text.

        Control tokens have their names, and ids outside the vocabulary stand for nothing.
        """
        if token_id in self._special_ids:
            return self._added[token_id].encode()
        if self._texts is None:
            return self.decode([token_id]).encode()
        return self._texts[False].bytes_of(token_id, first=False) or b""

    @property
    def is_bytewise(self) -> bool:
        """Whether each token stands for some bytes, whatever its neighbours are."""
        return self._texts is not None

    @property
    def drops_first_blank(self) -> bool:
        """Whether a text loses a blank at its beginning, which its first token has in addition."""
        pieces = None if self._texts is None else self._texts[False].pieces
        return pieces is not None and bool(pieces.first_drops or pieces.strip_count)

    def count(self, text: str) -> int:
        """Return how many tokens a text has, without what is put around every text."""
        return len(self.encode(text, add_special_tokens=False))

    def detokenizer(
        self, *, skip_special_tokens: bool = True, after: Sequence[int] = ()
    ) -> Detokenizer:
        """Return a new detokenizer, at the beginning of a text, or where ``after`` ends.

        Its pieces joined equal :meth:`decode`, except that a run of ``<0xNN>`` tokens which is
        no UTF-8 keeps its valid characters, where the library gives it up as a whole.
        """
        if self._texts is not None:
            first = self._special_ids.issuperset(after)
            return ByteDetokenizer(self._texts[skip_special_tokens], first=first)
        decode = partial(self.decode, skip_special_tokens=skip_special_tokens)
        return WindowDetokenizer(decode, self._speller(skip_special_tokens), after)

    def _speller(self, skip_special_tokens: bool) -> Callable[[int], str | None]:
        """Return what spells a token as the vocabulary does; ``None`` for those left out."""
        backend, left_out = self._backend, self._special_ids if skip_special_tokens else ()
        return lambda token_id: None if token_id in left_out else backend.id_to_token(token_id)


def _missing_message(folder: Path) -> str:
    others = [name for name in _OTHER_FORMATS if (folder / name).is_file()]
    found = f", only {' and '.join(others)}, which localfp4 does not read" if others else ""
    return (
        f"{folder} has no tokenizer.json{found}: "
        "copy tokenizer.json from the model it was made from into that folder."
    )


def _special_token(sources: Sequence[dict[str, Any]], name: str) -> str | None:
    for source in sources:
        value = source.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            return value
    return None


def _decoder_state(backend: tokenizers.Tokenizer) -> dict[str, Any] | None:
    """Return the decoder as ``tokenizer.json`` has it, out of its pickled state.

    Parsing the file a second time would take longer than all the rest: 11 MB for Qwen3.
    """
    if backend.decoder is None:
        return None
    state: dict[str, Any] = json.loads(backend.decoder.__getstate__())
    return state


def without_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates, which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
