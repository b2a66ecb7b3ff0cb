"""Which models are evaluated as what, and what runs each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from localfp4.bench.planning.formats import Stored, stored_as
from localfp4.bench.planning.lineup import lineup
from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.errors import RequestError
from localfp4.models.plan import Machine

_WIDTHS = ("w4a16", "w4a8", "w4a4")

AS_MADE = "auto"


@dataclass(frozen=True, slots=True)
class Series:
    """A model in a format.

    Attributes:
        model: As the user called it.
        format: Of :data:`localfp4.bench.planning.formats.FORMATS`.
        config: What runs it.
        note: What is not as the name of the format has it, a sentence; empty where all is.
    """

    model: str
    format: str
    config: EngineConfig
    note: str = ""


def series(
    models: Sequence[str], formats: Sequence[str], config: EngineConfig, machine: Machine
) -> list[Series]:
    """Return every model in every format, each once.

    Where the machine cannot multiply in a format, plain torch rounds activations as the kernels
    would: what is measured is how good answers are, not how fast.

    Args:
        models: As the user called them; they are on this computer.
        formats: What was asked for of each; ``auto`` is the format that it was made for.
        config: What else was asked for.
        machine: This one.

    Raises:
        UserError: A model cannot be found, read or supported, or cannot be had in a format.
    """
    found = [one(model, form, config, machine) for model in models for form in formats]
    return list({(each.model, each.format): each for each in found}.values())


def one(model: str, form: str, config: EngineConfig, machine: Machine) -> Series:
    """Return a model in a format.

    Raises:
        UserError: It cannot be found, read or supported, or cannot be had in the format.
    """
    if form == AS_MADE:
        form = made_for(stored_as(find(model)))
    (seat,) = lineup((model,), (form,), config, machine)
    if seat.config is None:
        raise RequestError(seat.reason)
    if config.kernels != "auto":
        return Series(model, form, seat.config, seat.note)
    if seat.runs and form in _WIDTHS:
        emulated = replace(seat.config, kernels="emulated", precision=form)
        note = f"{model} as {form} is emulated in plain torch, slowly; this computer itself runs "
        return Series(model, form, emulated, f"{note}{seat.runs}.")
    if not machine.is_gpu and form == "mxfp4":
        return Series(model, form, replace(seat.config, kernels="emulated"))
    return Series(model, form, seat.config, seat.note if machine.is_gpu else "")


def made_for(stored: Stored) -> str:
    """Return the format that a model was made for, such as ``w4a4`` of NVFP4 W4A4."""
    if not stored.rounding:
        return "bf16"
    if stored.rounding != "nvfp4":
        return stored.rounding
    words = stored.words.lower()
    return next((width for width in reversed(_WIDTHS) if width in words), "w4a16")
