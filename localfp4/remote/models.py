"""What a server has, and what it is called."""

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from localfp4.errors import UserError
from localfp4.messages import LoadProgress
from localfp4.remote.address import Address
from localfp4.remote.asking import ask_for_json
from localfp4.remote.errors import ServerError
from localfp4.remote.words import one_line

ASKING_S = 10.0
"""Seconds of silence that are an error where nothing has to be computed."""

NAP_S = 1.0
_MOST_NAMED = 8

_PRODUCTS = {
    "vllm": ("vLLM", "/version"),
    "library": ("Ollama", "/api/version"),
}
_NAMES = {"llamacpp": "llama.cpp", "sglang": "SGLang", "localfp4": "localfp4", "openai": "OpenAI"}
"""By ``owned_by`` in the list of models."""

_CONTEXTS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""vLLM, SGLang and localfp4; OpenRouter; Groq; LM Studio."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of a server, as far as it tells; numbers are ``None`` where it does not.

    Attributes:
        name: What to ask for.
        owner: Who it says made or serves it.
        context_tokens: Longest context.
        parameters: Number of parameters.
        size_bytes: Of its weights.
        vocab_size: Token ids are below this.
    """

    name: str
    owner: str = ""
    context_tokens: int | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    vocab_size: int | None = None


Served = Mapping[str, ServedModel]


def served_models(
    address: Address, key: str | None, patience_s: float
) -> Generator[LoadProgress, None, Served]:
    """Return what a server has, by name; wait for one that is still loading.

    Args:
        address: Of the server.
        key: For servers that want one.
        patience_s: How long it may load.

    Yields:
        What is waited for.

    Raises:
        ServerError: It cannot be reached, or does not answer.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            found = ask_for_json(address, f"{address.root}/models", key, ASKING_S)
        except ServerError as error:
            if error.status in (404, 405):
                return {}
            if error.status != 503 or monotonic() > deadline:
                raise
            yield LoadProgress(f"waiting for the server at {address.url} to load its model")
            sleep(NAP_S)
            continue
        data = found.get("data") if isinstance(found, dict) else None
        listed = data if isinstance(data, list) else []
        entries = [one for one in listed if isinstance(one, dict) and one.get("id")]
        return {str(entry["id"]): _model(entry) for entry in entries}


def only_model(served: Served, address: Address) -> str:
    """Return the one model that a server has.

    Raises:
        UserError: It has several, or tells none.
    """
    if len(served) == 1:
        return next(iter(served))
    if served:
        raise UserError(f"The server at {address.url} has {named(served)}; name one of them.")
    raise UserError(f"The server at {address.url} does not tell what models it has; name one.")


def named(served: Served) -> str:
    """Return the names of the first models, and how many more there are."""
    head = ", ".join(one_line(name) for name in list(served)[:_MOST_NAMED])
    return head if len(served) <= _MOST_NAMED else f"{head} and {len(served) - _MOST_NAMED} more"


def product(address: Address, key: str | None, owner: str, fingerprint: str = "") -> str:
    """Name the program of a server and its version, as far as it tells.

    Args:
        address: Of the server.
        key: For servers that want one.
        owner: Of the model that it serves.
        fingerprint: ``system_fingerprint`` of an answer, which names a version.
    """
    if owner not in _PRODUCTS:
        return " ".join(filter(None, (_NAMES.get(owner, ""), one_line(fingerprint))))
    name, path = _PRODUCTS[owner]
    with suppress(ServerError):
        told = ask_for_json(address, path, key, ASKING_S)
        if isinstance(told, dict) and told.get("version"):
            return f"{name} {one_line(told['version'])}"
    return name


def _model(entry: Mapping[str, Any]) -> ServedModel:
    meta = entry.get("meta")  # llama.cpp
    meta = meta if isinstance(meta, dict) else {}
    contexts = (*(_number(entry, name) for name in _CONTEXTS), _number(meta, "n_ctx"))
    return ServedModel(
        name=str(entry["id"]),
        owner=str(entry.get("owned_by") or ""),
        context_tokens=next(filter(None, contexts), None),
        parameters=_number(meta, "n_params"),
        size_bytes=_number(meta, "size"),
        vocab_size=_number(meta, "n_vocab"),
    )


def _number(settings: Mapping[str, Any], name: str) -> int | None:
    value = settings.get(name)
    return value if isinstance(value, int) and value > 0 else None
