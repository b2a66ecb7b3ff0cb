"""The request of ``POST /v1/completions``."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from starlette.requests import Request as HttpRequest

from localfp4.config import SamplingParams
from localfp4.messages import Request
from localfp4.server.asker import AskerFields
from localfp4.server.constraints import FormFields
from localfp4.server.errors import bad_request
from localfp4.server.fields import Count, Many
from localfp4.server.openai.choices import ChoiceFields
from localfp4.server.openai.refused import FOR_ALL, OF_COMPLETIONS
from localfp4.server.sampling import SamplingFields, for_choice
from localfp4.server.settings import Limits

Ids = Annotated[Many[Count], Field(min_length=1)]
"""A prompt in token ids."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to go on with: as it is, or in token ids."""

    text: str | None = None
    token_ids: tuple[int, ...] | None = None


def _of_one_kind(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Say of a prompt that is of no kind at all what there is, instead of why it is none of them."""
    try:
        return read(value)
    except ValidationError as error:
        raise ValueError(
            "Input should be a text, or a list of token ids, or a list of texts or of such lists"
        ) from error


class CompletionRequest(SamplingFields, ChoiceFields, FormFields, AskerFields):
    """Texts that are to be gone on with."""

    refused: ClassVar = FOR_ALL | OF_COMPLETIONS

    prompt: Annotated[str | Ids | Many[str] | Many[Ids], WrapValidator(_of_one_kind)]
    max_tokens: Count = Field(
        16, description="0 with echo, or with prompt_logprobs: only the prompt is looked at."
    )
    echo: bool | None = None
    logprobs: Count | None = None
    best_of: Count | None = None

    def prompts(self) -> list[Prompt]:
        """Return the texts.

        Raises:
            ApiError: There are none.
        """
        given: str | list[Any] = self.prompt
        if not given and isinstance(given, list):
            raise bad_request("There is no prompt.", "prompt")
        is_one = isinstance(given, str) or isinstance(given[0], int)
        return [
            Prompt(one) if isinstance(one, str) else Prompt(token_ids=tuple(one))
            for one in ([given] if is_one else given)
        ]

    def requests(
        self, answer_id: str, http: HttpRequest, recommended: SamplingParams, limits: Limits
    ) -> list[Request]:
        """Return what the engine is asked: the answers to the first prompt, to the second, ….

        Args:
            answer_id: What their ids begin with.
            http: What the body came in.
            recommended: The model's own settings of sampling.
            limits: Of a request.

        Raises:
            ApiError: Something is out of range, or cannot be done.
            RequestError: As well.
        """
        prompts = self.prompts()
        choices = self.choices(limits, len(prompts))
        if (self.best_of or choices) > choices:
            raise bad_request("best_of cannot be heeded: ask for n answers and choose.", "best_of")
        sampling = self.sampling(
            recommended, limits, max_tokens=self.max_tokens, logprobs=self.logprobs
        )
        constraint, scored = self.constraint(), self._scored(limits)
        return [
            Request(
                id=f"{answer_id}-{at * choices + place}",
                prompt=prompt.text,
                token_ids=prompt.token_ids,
                sampling=for_choice(sampling, place),
                constraint=constraint,
                prompt_logprobs=scored,
                background=self.can_wait(),
                client=self.client(http),
            )
            for at, prompt in enumerate(prompts)
            for place in range(choices)
        ]

    def _scored(self, limits: Limits) -> int | None:
        """Return the alternatives that are wanted to the tokens of prompts, for one use or both."""
        alternatives = self.prompt_alternatives(limits)
        echoed = self.logprobs if self.echo else None
        if self.echo and not self.max_tokens:
            echoed = echoed or 0
        wanted = [count for count in (alternatives, echoed) if count is not None]
        if not wanted and not self.max_tokens:
            raise bad_request(
                "max_tokens must be at least 1, unless the prompt is echoed.", "max_tokens"
            )
        return max(wanted, default=None)
