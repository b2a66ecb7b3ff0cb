"""Frozen settings that are passed down, never changed; stdlib only."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from numbers import Integral, Real

from localfp4.errors import RequestError

PAGE_SIZE = 64
"""Tokens in one page of the KV cache."""

MOST_THREADS = 1024
"""Of a CPU; libraries crash with a hundred times as many."""

PRECISIONS = ("auto", "bf16", "w4a16", "w4a8", "w4a4")
ROUNDINGS = ("nvfp4", "mxfp4", "fp8", "int4")
KERNELS = ("auto", "triton", "torch", "emulated")
SPECULATION = ("auto", "off", "ngram", "mtp", "draft")

_STEP_TOKENS = {"cpu": 512, "cuda": 1024}
"""A CPU is busy with few tokens; on a GPU more of them share the weights that a step reads. Layers with
a window need pages for a step on top of it, so that it cannot be had for nothing."""

_DTYPES = ("auto", "float32", "bfloat16", "float16")
_CHOICES = {
    "dtype": _DTYPES,
    "kv_cache_dtype": (*_DTYPES, "fp8", "fp8-static"),
    "precision": PRECISIONS,
    "kernels": KERNELS,
    "speculation": SPECULATION,
}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything that decides how an engine is built.

    Attributes:
        model: A folder, ``org/repo`` or ``org/repo@revision``, or ``demo``.
        device: A torch device string; ``None`` picks CUDA where there is one, else the CPU.
        dtype: Compute type: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_model_len: Longest context in tokens; ``None`` takes what the model and memory allow.
        kv_cache_dtype: ``auto`` (FP8 where kernels run on a GPU that converts it in hardware, else
            the compute type), ``float32``, ``bfloat16``, ``float16``, or
            ``fp8``: E4M3 with a scale per token and head, or ``fp8-static``: E4M3 with the scales
            that the checkpoint was calibrated with; both need kernels.
        kv_cache_tokens: Size of the KV cache in tokens; ``None`` sizes it from free memory.
        max_batch: Most sequences that decode together.
        max_step_tokens: Most tokens in one step; longer prompts are prefilled in chunks. ``None``
            takes what the device needs to be busy.
        prefix_caching: Reuse the pages of prompts that share a beginning.
        threads: CPU threads for matrix work; ``None`` takes every core this process may use.
        precision: Width of weights and activations: ``auto``, ``bf16``, ``w4a16``, ``w4a8`` or
            ``w4a4``.
        rounding: What 16-bit linears of the decoder layers are rounded to while they are loaded, as
            if the model had been exported so: ``nvfp4``, ``mxfp4``, ``fp8`` (a scale per row), or
            ``int4`` (groups of 128 with zero points); ``None`` leaves them. A draft model stays as
            it is.
        vram_limit: Bytes of a GPU's memory that may be used in all; ``None`` takes what is free.
        speculation: What guesses tokens ahead, for the model to check in one step: ``ngram`` looks
            for what followed the same words before, ``mtp`` is the checkpoint's own heads,
            ``draft`` a smaller model; ``auto`` takes what there is where it pays, ``off`` nothing.
        draft_model: The smaller model, named as ``model`` is.
        kv_ram_bytes: Main memory for pages that the GPU's cache gives away; ``None`` takes a part of
            what is free where there is a GPU, 0 none.
        kv_disk: A folder where pages are kept between runs; ``None`` keeps none.
        cuda_graphs: Replay recorded steps on a GPU instead of launching each kernel.
        kernels: ``triton``, ``torch``, or ``auto``: Triton on a GPU, torch on a CPU. With
            ``TRITON_INTERPRET=1`` the Triton kernels also run on a CPU, slowly. ``emulated`` is
            torch that rounds the inputs of quantised linears as kernels on an RTX 50 do, on any
            device, to see what that does to answers.
        shortens_context: Whether a model that was made for less than ``max_model_len`` takes what it
            was made for; otherwise it is refused.
        log_file: Where the command that builds the engine writes its log; processes of the engine
            write theirs beside it. ``None`` writes none. Two configs that differ in it are equal:
            engines are built the same.
    """

    model: str
    device: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = None
    kv_cache_dtype: str = "auto"
    kv_cache_tokens: int | None = None
    max_batch: int = 64
    max_step_tokens: int | None = None
    prefix_caching: bool = True
    threads: int | None = None
    precision: str = "auto"
    rounding: str | None = None
    kernels: str = "auto"
    vram_limit: int | None = None
    speculation: str = "auto"
    draft_model: str | None = None
    kv_ram_bytes: int | None = None
    kv_disk: str | None = None
    cuda_graphs: bool = True
    shortens_context: bool = False
    log_file: str | None = field(default=None, compare=False)

    @property
    def is_plain_torch(self) -> bool:
        """Whether plain torch was asked for, which expands weights."""
        return self.kernels in ("torch", "emulated")

    def step_tokens(self, device: str) -> int:
        """Return the most tokens in one step on a kind of device, ``cpu`` or ``cuda``."""
        return self.max_step_tokens or _STEP_TOKENS[device]

    def __post_init__(self) -> None:
        for name in (
            "max_model_len",
            "kv_cache_tokens",
            "max_batch",
            "max_step_tokens",
            "threads",
            "vram_limit",
        ):
            value = getattr(self, name)
            if value is not None and not (_is(value, Integral) and value >= 1):
                raise RequestError(f"{name} must be a whole number of at least 1, not {value!r}.")
        if self.threads is not None and self.threads > MOST_THREADS:
            raise RequestError(f"threads must be at most {MOST_THREADS}, not {self.threads}.")
        if self.kv_ram_bytes is not None and not (
            _is(self.kv_ram_bytes, Integral) and self.kv_ram_bytes >= 0
        ):
            raise RequestError(
                f"kv_ram_bytes must be a whole number of bytes, not {self.kv_ram_bytes!r}."
            )
        if not self.prefix_caching and (self.kv_disk is not None or self.kv_ram_bytes):
            raise RequestError(
                "kv_disk and kv_ram_bytes keep pages for prompts with the same beginning, which "
                "prefix_caching=False rules out: leave one of them out."
            )
        if (self.draft_model is not None) != (self.speculation == "draft"):
            raise RequestError(
                "draft_model and speculation='draft' belong together: set both or neither."
            )
        choices = _CHOICES if self.rounding is None else {**_CHOICES, "rounding": ROUNDINGS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise RequestError(
                    f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}."
                )


_WHOLE_NUMBERS = ("max_tokens", "top_k", "seed", "logprobs")
_NUMBERS = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_OPTIONAL = ("max_tokens", "seed", "logprobs")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen and when an answer ends.

    Attributes:
        max_tokens: Most tokens to generate; ``None`` lets the answer fill the context. 0 is for
            prompts of which nothing but log-probabilities is wanted.
        temperature: 0 is greedy; higher is more varied.
        top_k: Keep only the k most probable tokens; 0 keeps all.
        top_p: Keep the smallest set of tokens whose probabilities reach this sum.
        min_p: Drop tokens less probable than this share of the most probable one.
        repetition_penalty: Divides positive and multiplies negative logits of tokens seen in
            the prompt or the answer (Keskar et al. 2019, CTRL); 1 is off.
        presence_penalty: Subtracted once from the logits of tokens already in the answer.
        frequency_penalty: Subtracted per occurrence in the answer.
        logit_bias: Token id to a number added to its logit, at most 100 either way.
        seed: Makes the answer repeatable, whatever else is in the batch, up to rounding of the
            logits.
        stop: Strings that end the answer; they are not part of it.
        stop_token_ids: Tokens that end the answer, beside the model's own.
        ignore_eos: Do not stop at the model's end tokens.
        logprobs: Number of alternatives to report per token; ``None`` reports nothing, 0 only
            the chosen token. Log-probabilities are of the unmodified distribution.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Collection[int] = ()
    ignore_eos: bool = False
    logprobs: int | None = None

    def __post_init__(self) -> None:
        for name in _WHOLE_NUMBERS + _NUMBERS:
            kind, what = (
                (Integral, "a whole number") if name in _WHOLE_NUMBERS else (Real, "a number")
            )
            value = getattr(self, name)
            self._check(name, _is(value, kind) or (value is None and name in _OPTIONAL), what)
        self._check("max_tokens", self.max_tokens is None or self.max_tokens >= 0, "at least 1")
        self._check("temperature", 0 <= self.temperature <= 100, "between 0 and 100")
        self._check("top_k", self.top_k >= 0, "0 (off) or more")
        self._check("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._check("min_p", 0 <= self.min_p <= 1, "between 0 and 1")
        self._check(
            "repetition_penalty", 0 < self.repetition_penalty <= 100, "above 0, at most 100"
        )
        self._check("presence_penalty", abs(self.presence_penalty) <= 100, "between -100 and 100")
        self._check("frequency_penalty", abs(self.frequency_penalty) <= 100, "between -100 and 100")
        biases = isinstance(self.logit_bias, Mapping) and all(
            _is(token, Integral) and _is(bias, Real) and abs(bias) <= 100
            for token, bias in self.logit_bias.items()
        )
        self._check("logit_bias", biases, "token ids with numbers between -100 and 100")
        listed = isinstance(self.stop, list | tuple) and all(
            isinstance(stop, str) and stop for stop in self.stop
        )
        self._check("stop", listed, "a list of strings, none of them empty")
        ids = isinstance(self.stop_token_ids, list | tuple | Set) and all(
            _is(token, Integral) for token in self.stop_token_ids
        )
        self._check("stop_token_ids", ids, "a list of token ids")
        self._check(
            "logprobs", self.logprobs is None or 0 <= self.logprobs <= 100, "between 0 and 100"
        )

    def check_answers(self) -> None:
        """Refuse to generate nothing.

        Raises:
            RequestError: There is no room for an answer.
        """
        self._check("max_tokens", self.max_tokens != 0, "at least 1")

    def _check(self, name: str, fine: bool, rule: str) -> None:
        if not fine:
            raise RequestError(f"{name} must be {rule}, not {getattr(self, name)!r}.")


def _is(value: object, kind: type) -> bool:
    """Say whether a value is a number of some kind; true and false are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
