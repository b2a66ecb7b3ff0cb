"""Deciding what a model runs on, and compiling it while the weights are read."""

import logging
import os
import platform
import shutil
import sysconfig
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from platformdirs import user_cache_path

from localfp4.config import EngineConfig
from localfp4.engine.faults import is_out_of_memory
from localfp4.engine.speculation import MOST_DRAFTS
from localfp4.errors import RequestError, UserError
from localfp4.messages import LoadProgress
from localfp4.models.chosen_kernels import chosen_kernels
from localfp4.models.decoder import Decoder
from localfp4.models.emulate import emulation_of
from localfp4.models.execution import Execution
from localfp4.models.kernel_choice import CARDS
from localfp4.telemetry.cpu import usable_cores
from localfp4_kernels.dispatch import Kind, Phase, Precision, PrecisionError
from localfp4_kernels.target import Target

if TYPE_CHECKING:
    from localfp4_kernels.warm_up import WarmUp

_log = logging.getLogger(__name__)

Loading = Generator[LoadProgress, None, None]


def choose_execution(config: EngineConfig, device: torch.device) -> Execution:
    """Decide between Triton kernels and plain torch.

    Raises:
        RequestError: What was asked for cannot run there.
    """
    precision = Precision(config.precision)
    if config.kernels == "emulated":
        _require_wide_cache(config)
        return Execution(precision=precision, emulated=CARDS["RTX 50"])
    if config.kernels == "torch" or (config.kernels == "auto" and device.type == "cpu"):
        if precision in (Precision.W4A8, Precision.W4A4):
            raise RequestError(
                f"Precision {precision} needs a GPU and --kernels auto or triton; plain torch "
                "computes with 16-bit activations or wider, so use --precision auto, or "
                "--kernels emulated to see what narrower ones do to the answers, slowly."
            )
        _require_wide_cache(config)
        return Execution(precision=precision)
    try:
        # Triton takes a while to import, and only kernels need it.
        from localfp4_kernels.device import target_of

        target = target_of(device)
    except ImportError as error:
        raise RequestError(
            "The kernels need Triton: pip install triton, or triton-windows on Windows; "
            "--kernels torch runs without."
        ) from error
    except ValueError as error:
        raise RequestError(
            f"The kernels cannot run here: {error}. --kernels torch runs without them."
        ) from error
    execution = Execution(target, precision, _triton_version())
    try:
        execution.choose(Kind.NVFP4, Phase.PREFILL, tokens=1, columns=0, activations=16)
    except PrecisionError as error:
        raise _refusal(error) from error
    if device.type == "cuda":
        _require_compiler()
    return execution


@contextmanager
def compilation(
    outlines: Sequence[Decoder],
    kv_dtype: str,
    config: EngineConfig,
    device: torch.device,
) -> Iterator[Loading]:
    """Compile in the background what models launch; the value waits for the rest.

    Without outlines, or in the interpreter, there is nothing to compile.

    Raises:
        RequestError: The precision that was asked for cannot run some of the weights.
        UserError: A kernel cannot be planned, compiled or loaded.
    """
    target = outlines[0].execution.target if outlines else None
    if target is None:
        yield _nothing()
        return
    from localfp4.runner.rehearsal import a_step_of_each_kind, launches_of, rehearse

    if target.interpreted:
        with _kernel_failures(target):
            for outline in outlines:
                launches_of(outline, kv_dtype, a_step_of_each_kind())
        yield _nothing()
        return
    from localfp4_kernels.warm_up import WarmUp, use_cache_folder

    folder = use_cache_folder(user_cache_path("localfp4", appauthor=False) / "kernels", target)
    _log.info("compiled kernels are kept in %s", folder)
    with _kernel_failures(target):
        rows = config.max_batch
        if config.speculation != "off":
            rows = max(rows, 1 + MOST_DRAFTS)
        launches = {
            launch.specialisation: launch
            for outline in outlines
            for launch in rehearse(outline, kv_dtype, rows, config.step_tokens(device.type))
        }
        background = WarmUp(list(launches.values()), device, threads=usable_cores())
    try:
        yield _finish(background, target)
    finally:
        background.close()


def describe(decoder: Decoder, dtype: torch.dtype) -> str:
    """Say in a few words what the layers run."""
    name = str(dtype).removeprefix("torch.")
    execution = decoder.execution
    if execution.target is None:
        emulation = emulation_of(decoder)
        return f"torch {name}" if emulation is None else f"torch {name}, {emulation}"
    chosen = {phase: chosen_kernels(decoder, phase) for phase in Phase}
    if not any(chosen.values()):
        return f"triton {execution.target}, {name} weights"
    kernels = ", ".join(f"{phase} {' + '.join(found)}" for phase, found in chosen.items())
    return f"triton {execution.target}, {kernels}"


def _require_wide_cache(config: EngineConfig) -> None:
    """Check that the KV cache is of a type that plain torch has.

    Raises:
        RequestError: It is not.
    """
    if config.kv_cache_dtype in ("fp8", "fp8-static"):
        raise RequestError(
            "An fp8 KV cache needs a GPU and --kernels auto or triton; use --kv auto."
        )


def _require_compiler() -> None:
    """Check what Triton builds its launcher with on Linux; on Windows it brings a compiler.

    Raises:
        RequestError: It is missing.
    """
    if platform.system() != "Linux":
        return
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        raise RequestError(
            "Triton needs a C compiler for its launcher: sudo apt install gcc (or your "
            "distribution's package); --kernels torch runs without."
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise RequestError(
            f"Triton needs Python's headers for its launcher, and {header} is missing: "
            "sudo apt install python3-dev (or your distribution's package); --kernels torch runs "
            "without."
        )


def _nothing() -> Loading:
    yield from ()


def _finish(background: "WarmUp", target: Target) -> Loading:
    with _kernel_failures(target):
        for done in background.finish():
            yield LoadProgress(f"compiling kernels, {done} of {background.total}")


@contextmanager
def _kernel_failures(target: Target) -> Iterator[None]:
    """Tell the user what to do where a kernel cannot be planned, compiled or loaded.

    Raises:
        UserError: In place of whatever Triton raised, but for memory that ran out.
    """
    try:
        yield
    except PrecisionError as error:
        raise _refusal(error) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        _log.exception("a kernel could not be prepared")
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"A kernel for {target} could not be prepared ({lines[0]}); please report it. "
            "--kernels torch runs without kernels."
        ) from error


def _refusal(error: PrecisionError) -> RequestError:
    """Make a sentence of why a precision cannot run."""
    words = str(error)
    return RequestError(f"{words[:1].upper()}{words[1:]}.")


def _triton_version() -> tuple[int, int]:
    import triton

    major, minor = triton.__version__.split(".")[:2]
    return int(major), int(minor)
