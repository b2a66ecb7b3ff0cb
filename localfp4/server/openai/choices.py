"""What both kinds of completions are asked alike: how many, in pieces or whole, and scored or not."""

from localfp4.server.errors import bad_request
from localfp4.server.fields import Count, Fields
from localfp4.server.settings import Limits


class StreamOptions(Fields):
    """What a stream brings besides."""

    include_usage: bool | None = None


class ChoiceFields(Fields):
    """How answers are wanted."""

    model: str | None = None
    n: Count | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    prompt_logprobs: Count | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    def choices(self, limits: Limits, prompts: int = 1) -> int:
        """Return how many answers each prompt gets.

        Raises:
            ApiError: There are none, or too many.
        """
        n = 1 if self.n is None else self.n
        if n < 1:
            raise bad_request("n must be at least 1.", "n")
        if n * prompts > limits.choices:
            raise bad_request(
                f"At most {limits.choices} answers are given to a request, not {n * prompts}.", "n"
            )
        return n

    def prompt_alternatives(self, limits: Limits) -> int | None:
        """Return how many alternatives are reported to each token of the prompt.

        Raises:
            ApiError: They are too many, or wanted in a stream.
        """
        if self.prompt_logprobs is None:
            return None
        if self.stream:
            raise bad_request("prompt_logprobs come with whole answers only.", "prompt_logprobs")
        if self.prompt_logprobs > limits.logprobs:
            raise bad_request(
                f"prompt_logprobs may be at most {limits.logprobs}.", "prompt_logprobs"
            )
        return self.prompt_logprobs
