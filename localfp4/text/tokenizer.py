"""Text to token ids and back, by the ``tokenizer.json`` of a model folder.

A thin layer over the ``tokenizers`` library: it adds the special tokens' names, which stand in
other files, errors in words, and streaming. Chat templates are not its business.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import tokenizers

from localfp4.errors import CheckpointError
from localfp4.text.detokenizer import ByteDetokenizer, Detokenizer, WindowDetokenizer
from localfp4.text.files import read_json
from localfp4.text.pieces import piece_decoder

_OTHER_FORMATS = ("tekken.json", "tokenizer.model")


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
        self._special_ids = frozenset(id_ for id_, token in added.items() if token.special)
        self._pieces = piece_decoder(_decoder_state(backend))

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
            _without_surrogates(text), add_special_tokens=add_special_tokens
        ).ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of ``ids``; ids outside the vocabulary are left out."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def detokenizer(self, *, skip_special_tokens: bool = True) -> Detokenizer:
        """Return a new detokenizer, at the beginning of a text.

        Its pieces joined equal :meth:`decode`, except that a run of ``<0xNN>`` tokens which is
        no UTF-8 keeps its valid characters, where the library gives it up as a whole.
        """
        spell = partial(self._spell, skip_special_tokens=skip_special_tokens)
        if self._pieces is not None:
            return ByteDetokenizer(self._pieces, spell)
        decode = partial(self.decode, skip_special_tokens=skip_special_tokens)
        return WindowDetokenizer(decode, spell)

    def _spell(self, token_id: int, *, skip_special_tokens: bool) -> str | None:
        if skip_special_tokens and token_id in self._special_ids:
            return None
        return self._backend.id_to_token(token_id)


def stop_token_ids(folder: Path, tokenizer: Tokenizer | None) -> frozenset[int]:
    """Collect every token that ends an answer.

    Models name them in several places that need not agree: ``generation_config.json``,
    ``config.json``, its ``text_config``, and the tokenizer. The union is what chat models need.

    Raises:
        CheckpointError: An ``eos_token_id`` is neither an integer nor a list of integers.
    """
    config = read_json(folder / "config.json")
    sources = {
        "generation_config.json": read_json(folder / "generation_config.json"),
        "config.json": config,
        "text_config in config.json": config.get("text_config") or {},
    }
    stops = set(tokenizer.eos_ids) if tokenizer is not None else set()
    for where, source in sources.items():
        stops.update(_token_ids(source.get("eos_token_id"), f"{where} of {folder}"))
    return frozenset(stops)


def _token_ids(value: Any, where: str) -> list[int]:
    if value is None:
        return []
    ids = value if isinstance(value, list) else [value]
    if not all(type(id_) is int for id_ in ids):
        raise CheckpointError(
            f"eos_token_id in {where} must be an integer or a list of integers, not {value!r}."
        )
    return ids


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


def _without_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates, which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
