"""What an engine says while a model is loaded, and once it is; stdlib only, picklable."""

from dataclasses import dataclass
from typing import Literal

from localfp4.config import SamplingParams

Thinks = Literal["always", "asked", "never"]


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
        server: Where another program serves it, such as ``vLLM 0.33.0 at localhost:8000``; empty
            for a model that was loaded here. What such a server does not tell is 0 or empty.
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
    server: str = ""

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
