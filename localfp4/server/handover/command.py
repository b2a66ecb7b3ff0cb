"""What vLLM is told, so that it serves as this program would have done; pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localfp4.config import EngineConfig
from localfp4.errors import RequestError
from localfp4.server.defaults import NOTHING_GIVEN, Defaults
from localfp4.server.handover.facts import CheckpointFacts
from localfp4.server.settings import ServerSettings
from localfp4.text.parsers.choose import CallStyle

_CALL_PARSERS: Mapping[CallStyle, str] = {
    "gemma4": "gemma4",
    "glm": "glm47",
    "harmony": "openai",
    "hermes": "hermes",
    "lfm2": "lfm2",
    "llama3": "llama3_json",
    "mistral": "mistral",
    "mistral_list": "mistral",
    "qwen_xml": "qwen3_xml",
    "seed": "seed_oss",
}
"""vLLM knows no parser for calls as plain JSON, which models without tools in their template write."""

_THOUGHT_PARSERS = {
    "<|channel>": "gemma4",
    "<seed:think>": "seed_oss",
    "[THINK]": "mistral",
}
_FAMILY_THOUGHT_PARSERS = {
    "glm4_moe_lite": "glm47",
    "gpt_oss": "openai_gptoss",
    "nemotron_h": "nemotron_v3",
    "olmo3": "olmo3",
}
"""Families that differ from others with the same tokens."""

_KV_CACHE = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    # Here, fp8 has a scale a token and head, and fp8-static those of the checkpoint.
    "fp8": "fp8_per_token_head",
    "fp8-static": "fp8",
}

_GENERATION = {"max_tokens": "max_new_tokens"}
"""What ``generation_config.json`` calls otherwise."""

_GUESSES = 4
"""Tokens that are guessed ahead where there is no telling how many pay."""

_OPTIONS = {
    "precision": "--precision",
    "kernels": "--kernels",
    "threads": "--threads",
    "vram_limit": "--vram-limit",
    "kv_disk": "--kv-disk",
    "kv_cache_tokens": "kv_cache_tokens",
    "rounding": "rounding",
}
"""Settings of the engine that vLLM has no equal of, and what users call them."""

_SERVER_OPTIONS = {"allowed_hosts": "--allowed-host", "timeout_s": "--request-timeout"}
"""And of the server."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Over what a model is spread.

    Attributes:
        tensor_parallel: GPUs that share each layer.
        pipeline_parallel: Groups of GPUs that share the layers.
        gpus_here: GPUs of this computer; ``None`` where they cannot be counted.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    gpus_here: int | None = None

    @property
    def gpus(self) -> int:
        """How many GPUs that takes."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def needs_others(self) -> bool:
        """Whether this computer has too few, so that Ray has to bring in others."""
        return self.gpus_here is not None and 0 < self.gpus_here < self.gpus


@dataclass(frozen=True, slots=True)
class Origin:
    """Where vLLM finds the model.

    Attributes:
        name: A folder, or an id of the hub.
        revision: Of the id; ``None`` takes the newest.
    """

    name: str
    revision: str | None = None


def vllm_command(
    origin: Origin,
    config: EngineConfig,
    settings: ServerSettings,
    facts: CheckpointFacts | None,
    *,
    spread: Spread = Spread(),
    defaults: Defaults = NOTHING_GIVEN,
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command that serves a model with vLLM.

    The key is left out, since command lines are seen by others; see :func:`vllm_environment`.

    Args:
        origin: Where the model is.
        config: What the user calls it, and how it is to be run.
        settings: How it is to be served.
        facts: What the checkpoint is; ``None`` where it is not on this computer yet.
        spread: Over what.
        defaults: What holds for requests that say nothing of it.
        extra: Arguments of vLLM's that are passed on as they are.

    Raises:
        RequestError: A setting has no equal in vLLM.
    """
    _refuse_what_has_no_equal(config, settings, extra)
    return [
        *("vllm", "serve", origin.name),
        *(("--revision", origin.revision) if origin.revision else ()),
        # vLLM's own default is to listen to everybody.
        *("--host", settings.host, "--port", str(settings.port)),
        *("--served-model-name", *settings.names_of(config.model)),
        *_engine(config),
        *("--max-num-seqs", str(config.max_batch)),
        # Those that run are among those that it counts.
        *("--max-num-queued-reqs", str(config.max_batch + settings.queue)),
        *_spread(spread),
        *(_answers(facts) if facts is not None else ()),
        *_defaults(defaults),
        "--enable-prompt-tokens-details",
        *("--shutdown-timeout", str(round(settings.drain_s))),
        *(
            ("--allowed-origins", json.dumps(settings.cors_origins))
            if settings.cors_origins
            else ()
        ),
        *extra,
    ]


def vllm_environment(settings: ServerSettings) -> dict[str, str]:
    """Return the variables that vLLM's process has besides this one's: nothing is told to anybody."""
    key = {"VLLM_API_KEY": settings.api_key} if settings.api_key else {}
    return {"VLLM_NO_USAGE_STATS": "1", **key}


def _refuse_what_has_no_equal(
    config: EngineConfig, settings: ServerSettings, extra: Sequence[str]
) -> None:
    given = (
        *_changed(config, EngineConfig(config.model), _OPTIONS),
        *_changed(settings, ServerSettings(), _SERVER_OPTIONS),
    )
    for option in given:
        raise RequestError(f"{option} has no equal in vLLM: leave it or --engine vllm out.")
    if settings.port == 0:
        raise RequestError("vLLM would not tell which port it took: choose a --port instead of 0.")
    for argument in extra:
        if argument.partition("=")[0] in ("--host", "--port"):
            raise RequestError(f"{argument} after -- would not be known here: give it before --.")
    if config.kv_cache_dtype == "float32":
        raise RequestError("vLLM has no KV cache of 32 bits: leave --kv or --engine vllm out.")
    device = config.device or "cuda"
    if device.partition(":")[0] != "cuda":
        raise RequestError(f"--engine vllm runs on GPUs, not on {device}: leave one of them out.")


def _changed(chosen: object, plain: object, options: Mapping[str, str]) -> Iterator[str]:
    """Yield what users call the fields that differ from what they are by default."""
    for name, option in options.items():
        if getattr(chosen, name) != getattr(plain, name):
            yield option


def _engine(config: EngineConfig) -> Iterator[str]:
    """Yield how the model is run."""
    if config.max_model_len is not None:
        yield from ("--max-model-len", str(config.max_model_len))
    if config.dtype != "auto":
        yield from ("--dtype", config.dtype)
    if config.kv_cache_dtype != "auto":
        yield from ("--kv-cache-dtype", _KV_CACHE[config.kv_cache_dtype])
    if config.max_step_tokens is not None:
        yield from ("--max-num-batched-tokens", str(config.max_step_tokens))
    if config.kv_ram_bytes:
        yield from ("--kv-offloading-size", f"{config.kv_ram_bytes / 2**30:.2f}")
    if not config.prefix_caching:
        yield "--no-enable-prefix-caching"
    if not config.cuda_graphs:
        yield "--enforce-eager"
    _, _, index = (config.device or "").partition(":")
    if index:
        yield from ("--device-ids", index)
    if (guessing := _guessing(config)) is not None:
        yield from ("--speculative-config", json.dumps(guessing))


def _guessing(config: EngineConfig) -> Mapping[str, Any] | None:
    """Return how tokens are guessed ahead; vLLM does not by itself."""
    match config.speculation:
        case "ngram":
            longest = {"prompt_lookup_max": _GUESSES}
            return {"method": "ngram", "num_speculative_tokens": _GUESSES, **longest}
        case "mtp":
            return {"method": "mtp", "num_speculative_tokens": 1}
        case "draft":
            model = {"model": config.draft_model}
            return {"method": "draft_model", "num_speculative_tokens": _GUESSES, **model}
    return None


def _spread(spread: Spread) -> Iterator[str]:
    if spread.tensor_parallel > 1:
        yield from ("--tensor-parallel-size", str(spread.tensor_parallel))
    if spread.pipeline_parallel > 1:
        yield from ("--pipeline-parallel-size", str(spread.pipeline_parallel))
    if spread.needs_others:
        yield from ("--distributed-executor-backend", "ray")


def _defaults(defaults: Defaults) -> Iterator[str]:
    """Yield what holds for requests that say nothing of it.

    Raises:
        RequestError: A setting can only be given with each request.
    """
    sampling = {_GENERATION.get(name, name): value for name, value in defaults.sampling.items()}
    if "seed" in sampling:
        raise RequestError("vLLM takes a seed with each request alone: leave --seed out.")
    if sampling:
        yield from ("--override-generation-config", json.dumps(sampling))
    thinking: dict[str, Any] = {}
    if defaults.thinking is not None:
        thinking["enable_thinking"] = defaults.thinking
    if defaults.reasoning_effort is not None:
        thinking["reasoning_effort"] = defaults.reasoning_effort
    if thinking:
        yield from ("--default-chat-template-kwargs", json.dumps(thinking))


def _answers(facts: CheckpointFacts) -> Iterator[str]:
    """Yield how answers are read, and what of the model is left out."""
    if facts.has_other_senses:
        yield "--language-model-only"
    if facts.calls is not None and facts.calls in _CALL_PARSERS:
        yield from ("--enable-auto-tool-choice", "--tool-call-parser", _CALL_PARSERS[facts.calls])
    if parser := _thought_parser(facts):
        yield from ("--reasoning-parser", parser)


def _thought_parser(facts: CheckpointFacts) -> str:
    """Return what takes thoughts apart; empty where the model has none."""
    if parser := _FAMILY_THOUGHT_PARSERS.get(facts.family):
        return parser if facts.thoughts or facts.family == "gpt_oss" else ""
    if parser := _THOUGHT_PARSERS.get(facts.thoughts):
        return parser
    # Both read <think>; that of Qwen 3 also takes an answer without a thought.
    return "" if not facts.thoughts else "deepseek_r1" if facts.always_thinks else "qwen3"
