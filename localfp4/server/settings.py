"""What is decided when a server starts; stdlib only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os.path import expanduser
from pathlib import Path

from localfp4.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_EVERYBODY: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of this computer's, and where programs on it call instead."""


def url_for(host: str, port: int) -> str:
    """Return how programs on this computer reach a server that listens somewhere; without a path."""
    called = _EVERYBODY.get(host, host)
    return f"http://[{called}]:{port}" if ":" in called else f"http://{called}:{port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may ask for.

    Attributes:
        body_bytes: Of its body.
        messages: Of a conversation.
        choices: Answers to one prompt, and prompts in one request.
        stops: Stop strings.
        logprobs: Alternatives to a token.
        tools: Tools on offer.
        biases: Entries of ``logit_bias``.
    """

    body_bytes: int = 8 * 2**20
    messages: int = 4096
    choices: int = 128
    stops: int = 16
    logprobs: int = 20
    tools: int = 512
    biases: int = 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server listens, whom it answers and for how long.

    Attributes:
        host: The address to listen at.
        port: The port; 0 takes a free one.
        api_key: What clients must know; ``None`` asks for nothing.
        allowed_hosts: Names under which clients may call it, beside the loopback ones and ``host``.
        cors_origins: Web pages whose scripts may call it.
        served_names: Names of the model, the first of them that which answers bear; empty for what
            the user called it.
        queue: Requests that may wait beside those that run.
        timeout_s: Seconds that an answer may take.
        drain_s: Seconds that answers under way have to come to their end when the server is ended.
        limits: Of single requests.

    Raises:
        UserError: It would listen beyond this computer without a key.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    served_names: tuple[str, ...] = ()
    queue: int = 256
    timeout_s: float = 600.0
    drain_s: float = 30.0
    limits: Limits = field(default_factory=Limits)

    def name_of(self, model: str) -> str:
        """Return what a model is called in answers.

        A folder is called by its last part: where models lie is nobody else's business.
        """
        return self.names_of(model)[0]

    def names_of(self, model: str) -> tuple[str, ...]:
        """Return all names that a model goes by, the first of which answers bear."""
        path = Path(expanduser(model))
        return self.served_names or (path.resolve().name if path.is_dir() else model,)

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK and not self.api_key:
            raise UserError(
                f"Listening at {self.host} lets others use this computer: give --api-key (or "
                "LOCALFP4_API_KEY), or listen at 127.0.0.1."
            )
        if "*" in self.cors_origins:
            raise UserError(
                "--cors-origin '*' would let every web page use the model: name the pages."
            )
