"""How a request wants its tokens to be chosen, in OpenAI's words and vLLM's."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import Field

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.server.errors import bad_request
from localfp4.server.fields import Count, Integer64, Many, Refusing, Texts
from localfp4.server.settings import Limits

_NAMES = frozenset(field.name for field in fields(SamplingParams))


class SamplingFields(Refusing):
    """What chooses tokens; what is left out is as the model's authors recommend."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = Field(
        None, description="0 or -1: all of them."
    )
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = Field(None, description="Token ids to -100 … 100.")
    seed: Integer64 | None = Field(None, description="-1: another one each time.")
    stop: Texts | None = None
    stop_token_ids: Many[Count] | None = None
    ignore_eos: bool | None = None

    def sampling(
        self,
        recommended: SamplingParams,
        limits: Limits,
        *,
        max_tokens: Count | None,
        logprobs: int | None,
    ) -> SamplingParams:
        """Return how tokens are chosen.

        Args:
            recommended: The model's own settings.
            limits: Of a request.
            max_tokens: Most to generate; ``None`` for as many as fit.
            logprobs: Alternatives to report; ``None`` for nothing.

        Raises:
            ApiError: A setting is out of its range.
        """
        _check_at_most("stop", self.stop, limits.stops)
        _check_at_most("stop_token_ids", self.stop_token_ids, limits.biases)
        _check_at_most("logit_bias", self.logit_bias, limits.biases)
        if logprobs is not None and logprobs > limits.logprobs:
            raise bad_request(
                f"At most {limits.logprobs} alternatives to a token are reported, not {logprobs}.",
                "logprobs",
            )
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": None if self.logit_bias is None else _biases(self.logit_bias),
            "seed": None if self.seed == -1 else self.seed,
            "stop": self.stop,
            "stop_token_ids": self.stop_token_ids,
            "ignore_eos": self.ignore_eos,
            "max_tokens": max_tokens,
            "logprobs": logprobs,
        }
        return checked_sampling(recommended, given)


def checked_sampling(recommended: SamplingParams, given: Mapping[str, Any]) -> SamplingParams:
    """Return the recommended settings with those given in their place, where they are not ``None``.

    Raises:
        ApiError: One of them is out of its range.
    """
    try:
        return replace(recommended, **{k: v for k, v in given.items() if v is not None})
    except RequestError as error:
        name = str(error).partition(" ")[0]
        raise bad_request(str(error), name if name in _NAMES else None) from error


def for_choice(sampling: SamplingParams, place: int) -> SamplingParams:
    """Return the settings of one of several answers to a prompt, which are not to be all alike."""
    if sampling.seed is None or not place:
        return sampling
    return replace(sampling, seed=sampling.seed + place)


def _check_at_most(name: str, given: list[Any] | dict[str, Any] | None, most: int) -> None:
    if given is not None and len(given) > most:
        raise bad_request(f"{name} may have {most} entries, not {len(given)}.", name)


def _biases(biases: Mapping[str, float]) -> dict[int, float]:
    """Read the token ids, which JSON can only write as texts."""
    for token in biases:
        if not (token.isascii() and token.isdecimal() and len(token) < 10):
            raise bad_request(
                f"logit_bias names tokens by their ids, not {token[:20]!r}.", "logit_bias"
            )
    return {int(token): bias for token, bias in biases.items()}
