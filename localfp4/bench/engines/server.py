"""Any server that speaks OpenAI's API as a contestant, measured at the client as localfp4 itself is.

What a server does not tell is empty: its device, its memory, what it draws.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.peer import Peer
from localfp4.bench.engines.server_answer import Answer, read_answer
from localfp4.bench.engines.server_dialect import (
    Dialect,
    TextLength,
    find_dialect,
    random_words,
    text_length,
)
from localfp4.bench.engines.server_stream import Client
from localfp4.bench.records import About, Measured
from localfp4.bench.workload import Case, requests
from localfp4.messages import LoadProgress
from localfp4.remote.address import parse_address
from localfp4.remote.errors import ServerError
from localfp4.remote.key import key_for
from localfp4.remote.models import ServedModel, only_model, product, served_models

TIMEOUT_S = 300.0
_VOCAB_SIZE = 30_000
"""Nearly every vocabulary is larger; where a server does not tell, ids are drawn below this."""


def load(
    base_url: str,
    model: str | None = None,
    *,
    api_key_variable: str | None = None,
    vocab_size: int | None = None,
    timeout_s: float = TIMEOUT_S,
    ignore_eos: bool = True,
) -> Loading:
    """Find out what a server has and how it wants to be asked.

    Args:
        base_url: Its address; ``http://`` and ``/v1`` may be left out.
        model: What to ask it for; ``None`` takes the only one that it has.
        api_key_variable: Environment variable with the key for servers that want one.
        vocab_size: Prompts are drawn from token ids below this; ``None`` asks the server.
        timeout_s: Seconds of silence that are an error.
        ignore_eos: Whether answers should have their exact length, whatever the model says.

    Raises:
        UserError: The address, the model or the key is wrong.
        CaseFailedError: The server cannot be reached, or does not answer as it should.
    """
    started = time.perf_counter()
    address = parse_address(base_url)
    client = Client(address, key_for(address, api_key_variable), timeout_s)
    yield LoadProgress(f"asking the server at {address.url}")
    try:
        served = yield from served_models(address, client.key, timeout_s)
        chosen = model or only_model(served, address)
        facts = served.get(chosen, ServedModel(chosen))
        vocabulary = vocab_size or facts.vocab_size or _VOCAB_SIZE
        dialect, probe = find_dialect(client, chosen, vocabulary, ignore_eos=ignore_eos)
        length = TextLength()
        if not dialect.takes_ids:
            length = text_length(client, dialect, chosen)
    except ServerError as error:
        raise CaseFailedError(str(error)) from error
    about = About(
        version=product(address, client.key, facts.owner, probe.fingerprint),
        parameters=facts.parameters,
        device=f"server at {address.place}",
        weight_bytes=facts.size_bytes,
        load_s=time.perf_counter() - started,
        vocab_size=vocabulary,
        notes=(*dialect.notes, *_notes_of_counting(probe, dialect, length)),
    )
    return Server(about, client, chosen, dialect, length)


@dataclass(frozen=True, slots=True)
class Server(Peer):
    """A server that answers.

    Attributes:
        about: What is known of it.
        client: Asks it.
        model: What it is asked for.
        dialect: How it wants to be asked.
        length: How many tokens it makes of words.
    """

    about: About
    client: Client
    model: str
    dialect: Dialect
    length: TextLength

    def run(self, case: Case, seed: str) -> Measured:
        """Send the prompts that a seed decides, all at once, and read the answers.

        Raises:
            CaseFailedError: The case has a depth, or the server did not answer every request.
        """
        if case.depth:
            reason = "What a server keeps of earlier prompts is not known, so that no depth can be."
            raise CaseFailedError(reason, "unsupported")
        drawn = requests(case, self.about.vocab_size, Random(seed))
        prompts: Sequence[Sequence[int] | str] = [request.token_ids or () for request in drawn]
        if not self.dialect.takes_ids:
            random, words = Random(seed), self.length.words(case.input_tokens)
            prompts = [random_words(words, random) for _ in drawn]
        bodies = [self.dialect.body(self.model, one, case.output_tokens) for one in prompts]
        try:
            answers = [read_answer(one) for one in self.client.stream(self.dialect.route, bodies)]
        except ServerError as error:
            raise CaseFailedError(str(error)) from error
        if not all(answer.arrivals for answer in answers):
            raise CaseFailedError("The server ended an answer before its first token.")
        return Measured(
            {r.id: answer.arrivals for r, answer in zip(drawn, answers, strict=True)},
            prompt_tokens=sum(self._prompt_tokens(answer, case) for answer in answers),
            notes=_notes_of_case(answers, case, self.dialect),
        )

    def close(self) -> None:
        """Do nothing: every request has closed its connection."""

    def _prompt_tokens(self, answer: Answer, case: Case) -> int:
        """Return how long a prompt was; where a server cuts ids off, what is left."""
        told = answer.usage.prompt_tokens
        if not self.dialect.takes_ids:
            return told or self.length.tokens(self.length.words(case.input_tokens))
        return min(told or case.input_tokens, case.input_tokens)


def _notes_of_counting(probe: Answer, dialect: Dialect, length: TextLength) -> tuple[str, ...]:
    """Say what the server does not count."""
    notes = []
    if probe.usage.completion_tokens is None:
        notes.append("The server does not count its tokens: every piece of text counts as one.")
    if not dialect.takes_ids and not length.is_known:
        notes.append("The server does not count the tokens of prompts: every word counts as one.")
    return tuple(notes)


def _notes_of_case(answers: Sequence[Answer], case: Case, dialect: Dialect) -> tuple[str, ...]:
    """Say how answers differ from what was asked for."""
    notes = []
    short = [answer for answer in answers if len(answer.arrivals) < case.output_tokens]
    if not dialect.ignores_eos:
        short = []
    if any(answer.usage.completion_tokens for answer in short):
        notes.append("Answers ended before their length: the server does not ignore end-of-text.")
    elif short:
        notes.append(
            "Answers have fewer pieces than tokens were asked for: they ended early, or pieces have "
            "several tokens."
        )
    if any(len(answer.arrivals) > answer.pieces for answer in answers):
        notes.append(
            "The server sends several tokens in a piece: they count as coming together, and ITL is "
            "between pieces."
        )
    if any(answer.usage.cached_tokens for answer in answers):
        notes.append("The server had parts of prompts in its cache, which flatters TTFT.")
    sent = case.input_tokens
    if dialect.takes_ids and any((a.usage.prompt_tokens or sent) < sent for a in answers):
        notes.append("The server cuts prompts off; its prefill counts what was left of them.")
    return tuple(notes)
