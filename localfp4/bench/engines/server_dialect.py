"""Which part of OpenAI's API a server understands: found out by asking, the best way first.

Known ways: vLLM, SGLang and llama.cpp take prompts as token ids, and ``ignore_eos``; Ollama, LM
Studio and text-generation-inference want text, and end answers where the model does; hosted services
refuse what is not in OpenAI's own API, and some have nothing but ``/chat/completions``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from localfp4.bench.engines.server_answer import Answer, read_answer
from localfp4.bench.engines.server_stream import Client
from localfp4.remote.asking import ask_for_json
from localfp4.remote.errors import ServerError
from localfp4.remote.usage import read_usage

_MISUNDERSTOOD = (400, 404, 405, 415, 422, 500, 501)
"""Statuses after which a request may be put in another way."""

_PROBE_TOKENS = 16

_BEYOND_OPENAI = {
    # llama.cpp: compute every prompt, and say how many tokens there are so far.
    "cache_prompt": False,
    "timings_per_token": True,
    # vLLM: send the ids of the tokens of every piece.
    "return_token_ids": True,
}

_WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education"
)
"""Each is one token of common vocabularies, with the space before it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way to ask.

    Attributes:
        has_completions: Whether prompts go to ``/completions`` as they are, or to
            ``/chat/completions`` as a message.
        takes_ids: Whether prompts are token ids.
        options: ``all``, ``standard``: what OpenAI's API has, or ``few``: no usage either.
        ignores_eos: Whether answers should go on after the model has ended them.
    """

    has_completions: bool = True
    takes_ids: bool = True
    options: str = "all"
    ignores_eos: bool = True

    @property
    def route(self) -> str:
        """Where to ask, from the root of the API."""
        return "/completions" if self.has_completions else "/chat/completions"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of it, a sentence each."""
        found = []
        if not self.has_completions:
            found.append("The server has no /v1/completions: prompts are messages of a chat.")
        if not self.takes_ids:
            found.append("The server takes no token ids: prompts are random words.")
        if self.options != "all" and self.ignores_eos:
            found.append("The server refuses ignore_eos, so that answers may end early.")
        return tuple(found)

    def body(self, model: str, prompt: Sequence[int] | str, length: int) -> Mapping[str, Any]:
        """Return a request for an answer of a length."""
        asked: dict[str, Any] = {"model": model, "max_tokens": length, "temperature": 0}
        if self.has_completions:
            asked["prompt"] = prompt
        else:
            asked["messages"] = [{"role": "user", "content": prompt}]
        asked["stream"] = True
        if self.options != "few":
            asked["stream_options"] = {"include_usage": True}
        if self.options == "all":
            asked |= _BEYOND_OPENAI
            if self.ignores_eos:
                asked |= {"ignore_eos": True, "min_tokens": length}
        return asked


@dataclass(frozen=True, slots=True)
class TextLength:
    """How many tokens a server makes of words.

    Attributes:
        per_word: Tokens of a word.
        overhead: Tokens of a prompt without any, such as those of a chat template.
        is_known: Whether the server told.
    """

    per_word: float = 1.0
    overhead: float = 0.0
    is_known: bool = False

    def words(self, tokens: int) -> int:
        """Return how many words give about so many tokens; at least one."""
        return max(1, round((tokens - self.overhead) / self.per_word))

    def tokens(self, words: int) -> int:
        """Return how many tokens so many words are."""
        return round(self.overhead + words * self.per_word)


def random_words(count: int, random: Random) -> str:
    """Return a text of so many words."""
    return " ".join(random.choices(_WORDS.split(), k=count))


def find_dialect(
    client: Client, model: str, vocab_size: int, *, ignore_eos: bool
) -> tuple[Dialect, Answer]:
    """Try ways to ask until one is understood; returns it with its answer.

    Raises:
        ServerError: None is; it says what the first ran into.
    """
    first: ServerError | None = None
    for dialect in _ways(ignore_eos):
        random = Random(f"{dialect}")
        ids = random.choices(range(vocab_size), k=_PROBE_TOKENS)
        prompt = ids if dialect.takes_ids else random_words(_PROBE_TOKENS, random)
        try:
            return dialect, ask_once(client, dialect, model, prompt, _PROBE_TOKENS)
        except ServerError as error:
            if error.status not in _MISUNDERSTOOD:
                raise
            first = first or error
    assert first is not None
    raise first


def text_length(client: Client, dialect: Dialect, model: str) -> TextLength:
    """Find out how many tokens words are, from two prompts; many servers tell that of whole answers.

    Raises:
        ServerError: The server failed.
    """
    few, many = _PROBE_TOKENS, 8 * _PROBE_TOKENS
    short, long = (_prompt_tokens(client, dialect, model, count) for count in (few, many))
    if short is None or long is None or long <= short:
        return TextLength()
    per_word = (long - short) / (many - few)
    return TextLength(per_word, short - few * per_word, is_known=True)


def _prompt_tokens(client: Client, dialect: Dialect, model: str, words: int) -> int | None:
    """Return how many tokens a server counts in a prompt of some words."""
    text = random_words(words, Random(f"length {words}"))
    body = {**dialect.body(model, text, 1), "stream": False}
    body.pop("stream_options", None)
    path = client.address.root + dialect.route
    told = ask_for_json(client.address, path, client.key, client.timeout_s, body)
    return read_usage(told).prompt_tokens


def ask_once(
    client: Client, dialect: Dialect, model: str, prompt: Sequence[int] | str, length: int
) -> Answer:
    """Ask for one answer.

    Raises:
        ServerError: The server failed.
    """
    (lines,) = client.stream(dialect.route, [dialect.body(model, prompt, length)])
    return read_answer(lines)


def _ways(ignore_eos: bool) -> Iterator[Dialect]:
    """Yield ways to ask, the best first."""
    kinds = ((True, True), (True, False), (False, False))
    for (has_completions, takes_ids), options in product(kinds, ("all", "standard", "few")):
        yield Dialect(has_completions, takes_ids, options, ignore_eos)
