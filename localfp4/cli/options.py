"""Options that several commands share, and what they become."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from localfp4.cli.completing.values import model_names
from localfp4.cli.from_settings import FromSettings, is_from_settings
from localfp4.cli.model_name import meant
from localfp4.cli.option_types import Gigabytes, OrAuto
from localfp4.cli.verbose import log_file
from localfp4.config import (
    KERNELS,
    MOST_THREADS,
    PRECISIONS,
    SPECULATION,
    EngineConfig,
    SamplingParams,
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

_KV_CACHE = {"auto": "auto", "fp8": "fp8", "fp8-static": "fp8-static", "bf16": "bfloat16"}


def _engine(option: Callable[..., Any]) -> tuple[Callable[[Any], Any], ...]:
    """Return the options of an engine, made by ``click.option`` or by what reads settings too."""
    return (
        option(
            "--device",
            type=OrAuto(click.STRING),
            metavar="DEVICE",
            help="cuda, cuda:1 or cpu; by default the best GPU, else the CPU.",
        ),
        option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            default="auto",
            show_default=True,
            help="Type to compute in.",
        ),
        option(
            "--kernels",
            type=click.Choice(KERNELS),
            default="auto",
            show_default=True,
            help="What multiplies; auto is Triton on a GPU and torch on a CPU. emulated is torch that "
            "rounds as an RTX 50 does, to see the quality of its answers, slowly.",
        ),
        option(
            "--kv",
            type=click.Choice([*_KV_CACHE]),
            default="auto",
            show_default=True,
            help="Type of the KV cache; auto is fp8 from RTX 40 on. fp8 takes half the memory and needs "
            "a GPU, fp8-static also scales in the checkpoint.",
        ),
        option(
            "--ctx",
            type=OrAuto(click.IntRange(min=1)),
            metavar="TOKENS",
            help="Longest context; by default what the model and the memory allow.",
        ),
        option(
            "--vram-limit",
            type=OrAuto(Gigabytes(min=0, min_open=True)),
            metavar="GB",
            help="Most GPU memory to use; what does not fit stays in main memory.",
        ),
        option(
            "--speculate",
            type=click.Choice(SPECULATION),
            default="auto",
            show_default=True,
            help="What guesses tokens ahead for the model to check; the answers are the same.",
        ),
        option(
            "--draft",
            metavar="MODEL",
            shell_complete=model_names,
            help="A smaller model that guesses tokens ahead.",
        ),
        option(
            "--kv-ram",
            type=OrAuto(Gigabytes(min=0)),
            metavar="GB",
            help="Main memory for conversations that the GPU's KV cache has no room for; 0 is none.",
        ),
        option(
            "--kv-disk/--no-kv-disk",
            default=False,
            help="Keep the KV cache of conversations on disk for the next start.",
        ),
        option(
            "--eager/--no-eager",
            default=False,
            help="Launch every kernel; do not record CUDA graphs.",
        ),
        option(
            "--threads",
            type=OrAuto(click.IntRange(1, MOST_THREADS)),
            metavar="N",
            help="CPU threads; by default every core.",
        ),
    )


def _precision(option: Callable[..., Any]) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Width of weights and activations; w4a16 keeps activations at 16 bits throughout.",
    )
    return made


_from_settings = partial(click.option, cls=FromSettings, section="engine")

_SYSTEM = (click.option("--system", help="Instructions that precede the conversation."),)

_SAMPLING = (
    click.option("--temperature", type=float, help="0 always takes the likeliest token; higher is more varied."),
    click.option("--top-p", type=float, help="Keep the likeliest tokens up to this total probability."),
    click.option("--top-k", type=int, help="Keep the K likeliest tokens; 0 keeps all."),
    click.option("--min-p", type=float, help="Drop tokens below this share of the likeliest one's probability."),
    click.option("--repetition-penalty", type=float, help="Above 1 discourages tokens that have occurred."),
    click.option("--seed", type=int, help="Makes an answer repeatable."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer."),
)  # fmt: skip

_THINKING = (
    click.option(
        "--think/--no-think",
        "thinking",
        default=None,
        help="Have the model reason before it answers, or not; by default as it is made.",
    ),
    click.option(
        "--reasoning-effort",
        type=click.Choice(["low", "medium", "high"]),
        help="How much it reasons, for models that can be told.",
    ),
)

_SAMPLING_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "seed",
    "max_tokens",
)


def engine_options(command: _Command) -> _Command:
    """Add the options that :func:`engine_config` reads; what is not given may be in the settings."""
    return _with((_precision(_from_settings), *_engine(_from_settings)), command)


def engine_options_but_precision(command: _Command) -> _Command:
    """Add the options that :func:`engine_config` reads, for commands that measure.

    They run several precisions, and take nothing from the configuration file: what they find must
    be found again with the same words on another computer.
    """
    return _with(_engine(click.option), command)


def sampling_options(command: _Command) -> _Command:
    """Add a system prompt and the options that :func:`chosen_sampling` reads."""
    return _with(_SYSTEM + _SAMPLING, command)


def sampling_options_but_system(command: _Command) -> _Command:
    """Add the options that :func:`chosen_sampling` reads; what is not given is the model's."""
    return _with(_SAMPLING, command)


def thinking_options(command: _Command) -> _Command:
    """Add the options that :func:`chosen_thinking` reads."""
    return _with(_THINKING, command)


def chosen_thinking(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that say how much the model reasons."""
    return {name: options[name] for name in ("thinking", "reasoning_effort")}


def engine_config(model: str, options: Mapping[str, Any]) -> EngineConfig:
    """Return how to build the engine for a model."""
    return EngineConfig(
        model,
        device=options["device"],
        dtype=options["dtype"],
        max_model_len=options["ctx"],
        kv_cache_dtype=_KV_CACHE[options["kv"]],
        threads=options["threads"],
        precision=options.get("precision", "auto"),
        kernels=options["kernels"],
        vram_limit=_bytes(options["vram_limit"]),
        speculation=_speculation(options),
        draft_model=None if options["draft"] is None else meant(options["draft"]),
        kv_ram_bytes=_bytes(options["kv_ram"]),
        kv_disk=str(_kv_folder()) if options["kv_disk"] else None,
        cuda_graphs=not options["eager"],
        shortens_context=is_from_settings("ctx"),  # where it is for all models
        log_file=log_file(),
    )


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


def _speculation(options: Mapping[str, Any]) -> str:
    """Return what guesses ahead; naming a model for it asks for it.

    Raises:
        UsageError: The two options contradict each other.
    """
    chosen, model = str(options["speculate"]), options["draft"]
    if model is not None and chosen not in ("auto", "draft"):
        raise click.UsageError(
            f"--draft {model} guesses ahead, and --speculate {chosen} asks for something else; "
            "leave one of them out."
        )
    if model is None and chosen == "draft":
        raise click.UsageError("--speculate draft needs a model that guesses: add --draft MODEL.")
    return "draft" if model is not None else chosen


def _kv_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("localfp4", appauthor=False) / "kv"


def chosen_sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling fields that were given on the command line.

    Raises:
        RequestError: A value is out of range.
    """
    chosen = {name: options[name] for name in _SAMPLING_FIELDS if options[name] is not None}
    SamplingParams(**chosen)
    return chosen


def _with(options: tuple[Callable[[_Command], _Command], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
