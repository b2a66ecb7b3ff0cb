"""The request of ``POST /v1/chat/completions``."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field
from starlette.requests import Request as HttpRequest

from localfp4.config import SamplingParams
from localfp4.messages import Request
from localfp4.server.asker import AskerFields, is_chore
from localfp4.server.constraints import FormFields
from localfp4.server.conversation import Message, conversation
from localfp4.server.errors import bad_request
from localfp4.server.fields import Count, Many
from localfp4.server.openai.choices import ChoiceFields
from localfp4.server.openai.refused import FOR_ALL, OF_CHATS
from localfp4.server.sampling import SamplingFields, for_choice
from localfp4.server.settings import Limits
from localfp4.server.thinking import thinking
from localfp4.server.tools import ToolFields


class ChatRequest(SamplingFields, ChoiceFields, FormFields, ToolFields, AskerFields):
    """A conversation that is to be answered."""

    refused: ClassVar = FOR_ALL | OF_CHATS

    messages: Many[Message] = Field(min_length=1)
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Count | None = None
    modalities: Many[str] | None = None
    reasoning_effort: str | None = Field(None, description="none, minimal, low, medium, high, …")
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None

    def requests(
        self, answer_id: str, http: HttpRequest, recommended: SamplingParams, limits: Limits
    ) -> list[Request]:
        """Return what the engine is asked: as many answers as are wanted.

        Args:
            answer_id: What their ids begin with.
            http: What the body came in.
            recommended: The model's own settings of sampling.
            limits: Of a request.

        Raises:
            ApiError: Something is out of range, or cannot be done.
            RequestError: As well.
        """
        choices = self.choices(limits)
        messages = conversation(self.messages, limits)
        offer = self.offer(limits)
        thought = thinking(self.reasoning_effort, self.chat_template_kwargs)
        sampling = self.sampling(
            recommended, limits, max_tokens=self._max_tokens(), logprobs=self._logprobs()
        )
        texts = [message["content"] for message in messages]
        chore = is_chore(http.headers, texts, streams=bool(self.stream))
        self._check_modalities()
        return [
            Request(
                id=f"{answer_id}-{place}",
                messages=messages,
                sampling=for_choice(sampling, place),
                tools=offer.tools,
                tool_choice=offer.choice,
                thinking=thought.wanted,
                reasoning_effort=thought.effort,
                template_options=thought.options,
                continues=self.continue_final_message or self.messages[-1].prefix or False,
                constraint=self.constraint(),
                prompt_logprobs=self.prompt_alternatives(limits),
                background=chore or self.can_wait(),
                client=self.client(http),
            )
            for place in range(choices)
        ]

    def _max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def _logprobs(self) -> int | None:
        if self.logprobs:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise bad_request("top_logprobs needs logprobs to be true.", "top_logprobs")
        return None

    def _check_modalities(self) -> None:
        asked: Sequence[str] = self.modalities or ()
        if any(kind != "text" for kind in asked):
            raise bad_request("The model only writes text.", "modalities")
