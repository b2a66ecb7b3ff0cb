"""What crosses the boundary between a front end and an engine; stdlib only, picklable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from localfp4.config import SamplingParams
from localfp4.errors import RequestError

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
Thinks = Literal["always", "asked", "never"]

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

    Raises:
        RequestError: A setting of the chat template is unknown or of another kind, or there is
            nothing to go on with.
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

    def __post_init__(self) -> None:
        if self.continues and not self.messages:
            raise RequestError("There is no answer to go on with: only conversations have one.")
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


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of a token and of the most probable alternatives.

    Attributes:
        token_id: The token that was chosen.
        logprob: Its own.
        top: The most probable tokens and theirs.
        text: What the chosen token spells; bytes that are no character alone are U+FFFD. Empty
            where the model has no tokenizer.
        top_texts: What those of ``top`` spell, in their order.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    text: str = ""
    top_texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A request was accepted: the length of its prompt, and how many old turns were dropped."""

    id: str
    prompt_tokens: int
    dropped_turns: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; calls come whole.

    Attributes:
        index: Counts the calls of an answer from 0.
        id: Names the call when its result is given back.
        name: Of the function.
        arguments: A JSON object, as text.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Delta:
    """The next piece of an answer; its texts never split a character and may be empty.

    Nobody changes it. It is not frozen since every token makes one, and would take five times as
    long.

    Attributes:
        id: Of the request.
        text: Of the answer proper.
        token_ids: The tokens that brought it.
        logprobs: Theirs.
        reasoning: What the model thinks before it answers.
        tool_calls: What it calls.
    """

    id: str
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer, with its timings.

    Attributes:
        reason: ``stop`` (end token or stop string), ``length``, ``tool_calls`` (as ``stop``, and
            the answer calls tools) or ``cancelled``.
        prompt_tokens: Length of the prompt.
        cached_tokens: Prompt tokens whose pages were reused.
        output_tokens: Generated tokens, the end token included.
        ttft_s: Time to first token in seconds, queueing included; 0 where none came.
        duration_s: Time from arrival to the last token in seconds.
        drafted_tokens: Guesses at tokens that the model checked.
        accepted_tokens: Those of them that were right.
    """

    id: str
    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft_s: float
    duration_s: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def decode_tokens_per_s(self) -> float:
        """Tokens per second after the first one; 0 for answers of a single token."""
        decode_s = self.duration_s - self.ttft_s
        return (self.output_tokens - 1) / decode_s if self.output_tokens > 1 and decode_s else 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A request was refused or broke; ``message`` is one sentence for the user."""

    id: str
    message: str


Event = Started | Delta | Finished | Failed


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far loading has come: a stage in words, and bytes where they can be counted."""

    stage: str
    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded, for the status line.

    Attributes:
        name: What the user asked for.
        family: ``model_type`` of the checkpoint.
        parameters: Number of parameters.
        weight_format: Such as ``NVFP4 W4A16`` or ``BF16``.
        kernel_path: What the linear layers run, in words.
        device: Such as ``cpu`` or ``NVIDIA GeForce RTX 4090``.
        dtype: Compute type.
        max_model_len: Longest context in tokens.
        kv_cache_tokens: Size of the KV cache in tokens.
        weight_bytes: Bytes of the weights as they lie in memory.
        kv_cache_bytes: Bytes of the KV cache.
        load_s: Seconds from the start of loading.
        has_chat_template: Whether conversations can be rendered.
        sampling: The model's own defaults (``generation_config.json``).
        vocab_size: Token ids are below this.
        notes: What the user should know of the model, a sentence each.
        load_phases: What the time of loading went to, in words, and seconds.
        limit_tokens_per_s: Tokens a second of one conversation that the bandwidth of the memory
            allows; 0 where it is not known.
        device_uuid: Of the GPU, without the prefix ``GPU-``; empty for a CPU.
        thinks: Whether it reasons before it answers: where it is ``asked`` to, or else ``always``
            or ``never``, whatever a request says.
    """

    name: str
    family: str
    parameters: int
    weight_format: str
    kernel_path: str
    device: str
    dtype: str
    max_model_len: int
    kv_cache_tokens: int
    weight_bytes: int
    kv_cache_bytes: int
    load_s: float
    has_chat_template: bool
    sampling: SamplingParams
    vocab_size: int = 0
    notes: tuple[str, ...] = ()
    load_phases: tuple[tuple[str, float], ...] = ()
    limit_tokens_per_s: float = 0.0
    device_uuid: str = ""
    thinks: Thinks = "asked"

    def remark_on_thinking(self, wanted: bool | None) -> str:
        """Say that the model cannot be told to think, or not to; empty where it can be.

        Args:
            wanted: Whether the user wants it to; ``None`` leaves it to the model.
        """
        if wanted is True and self.thinks == "never":
            return f"{self.name} does not think before it answers; asking it to changes nothing."
        if wanted is False and self.thinks == "always":
            return f"{self.name} always thinks before it answers; it cannot be told not to."
        return ""


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of the running engine, sent a few times a second while it works.

    Attributes:
        phase: ``idle``, ``prefill`` or ``decode``.
        running: Sequences in the batch.
        waiting: Sequences in the queue.
        tokens_per_s: Generated tokens per second over the last moment, all sequences together.
        prefill_done: Prompt tokens processed of those being prefilled.
        prefill_total: Prompt tokens to process.
        kv_used_tokens: Tokens of the KV cache in use by live sequences.
        kv_total_tokens: Size of the KV cache in tokens.
        memory_used_bytes: GPU memory in use on the device, or this process's resident memory on
            a CPU.
        memory_total_bytes: Memory of the device, or of the computer.
        drafted_tokens: Guesses at tokens that the model checked since it was loaded.
        accepted_tokens: Those of them that were right.
        memory_engine_bytes: Memory of the device that this engine holds.
    """

    phase: Literal["idle", "prefill", "decode"]
    running: int
    waiting: int
    tokens_per_s: float
    prefill_done: int
    prefill_total: int
    kv_used_tokens: int
    kv_total_tokens: int
    memory_used_bytes: int
    memory_total_bytes: int
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    memory_engine_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer of the Python API.

    ``token_ids`` leaves out the end token, as ``text`` does. Where a stop string ended the answer,
    ``text`` leaves it out, and ``token_ids`` still has the tokens that spell it. In answers to
    conversations ``reasoning`` is what the model thought before, and ``tool_calls`` what it calls;
    neither is part of ``text``.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    logprobs: list[TokenLogprob] | None = None
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
