"""What a front end asks of an engine; stdlib only, picklable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from localfp4.config import SamplingParams
from localfp4.errors import RequestError
from localfp4.messages.constraint import FREE_CHOICE, Constraint, ToolChoice

TEMPLATE_OPTIONS = (
    "preserve_thinking",
    "clear_thinking",
    "truncate_history_thinking",
    "thinking_budget",
    "date_string",
    "model_identity",
)
"""What a request may tell a chat template besides: these change its wording, nothing else."""


class ChatMessage(TypedDict):
    """One turn of a conversation, as OpenAI's API has it.

    Attributes:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        content: What was said; empty where an answer only called tools.
        reasoning_content: What the model thought before an answer.
        tool_calls: What an answer called: each has an ``id`` and a ``function`` with ``name`` and
            ``arguments``.
        tool_call_id: Which call a tool answers.
        name: Of the tool that answers.
    """

    role: str
    content: str
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be generated; exactly one of the three inputs is set.

    Attributes:
        id: Chosen by the sender; names the request in every event and in a cancellation.
        messages: A conversation, rendered through the model's own chat template.
        prompt: Plain text, encoded as it is.
        token_ids: Token ids, for models without a tokenizer.
        sampling: How tokens are chosen.
        trim: Drop the oldest turns (never the system turn) of a conversation that is too long,
            instead of refusing it.
        tools: JSON schemas of what the answer to a conversation may call.
        thinking: Whether the model reasons before it answers; ``None`` leaves it to the model.
            Models that cannot be told so ignore it.
        reasoning_effort: How much it reasons, such as ``low``, ``medium`` or ``high``.
        template_options: Other variables of the model's chat template, of those named in
            :data:`TEMPLATE_OPTIONS`.
        continues: The last message is the beginning of an answer, which is to be gone on with.
        constraint: The form of what the answer says; ``None`` leaves it free.
        tool_choice: Whether the answer calls tools.
        prompt_logprobs: Number of alternatives to report for each token of the prompt; 0 only
            the token itself, ``None`` nothing.
        background: Waits for those that are not, and gives way to them.
        client: Who asks; those who ask share the engine alike, however much each one asks.

    Raises:
        RequestError: A setting of the chat template is unknown or of another kind, there is
            nothing to go on with, a tool is chosen that is not there, or more alternatives are
            asked for than are reported.
    """

    id: str
    messages: tuple[ChatMessage, ...] | None = None
    prompt: str | None = None
    token_ids: tuple[int, ...] | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    trim: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    thinking: bool | None = None
    reasoning_effort: str | None = None
    template_options: Mapping[str, bool | int | str] = field(default_factory=dict)
    continues: bool = False
    constraint: Constraint | None = None
    tool_choice: ToolChoice = FREE_CHOICE
    prompt_logprobs: int | None = None
    background: bool = False
    client: str = ""

    def __post_init__(self) -> None:
        if self.continues and not self.messages:
            raise RequestError("There is no answer to go on with: only conversations have one.")
        scored = self.prompt_logprobs
        if not (scored is None or (type(scored) is int and 0 <= scored <= 100)):
            raise RequestError(f"prompt_logprobs must be between 0 and 100, not {scored!r}.")
        if not isinstance(self.thinking, bool | None):
            raise RequestError(f"thinking must be true or false, not {self.thinking!r}.")
        effort = self.reasoning_effort
        if not (effort is None or (isinstance(effort, str) and effort.isalpha())):
            raise RequestError(f"reasoning_effort must be a word such as low, not {effort!r}.")
        if not all(isinstance(tool, Mapping) for tool in self.tools):
            raise RequestError("A tool is a JSON schema: an object with a function in it.")
        for name, value in self.template_options.items():
            if name not in TEMPLATE_OPTIONS or not isinstance(value, bool | int | str):
                known = ", ".join(TEMPLATE_OPTIONS)
                raise RequestError(f"Chat templates can be told {known}, not {name}={value!r}.")
