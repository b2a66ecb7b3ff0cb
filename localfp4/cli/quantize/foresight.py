"""What can be told of a quantisation without doing it: advice, and what it takes."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localfp4.checkpoint.hub import find
from localfp4.cli.chosen_machine import chosen_machine
from localfp4.config import EngineConfig
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.plan import Machine
from localfp4.quantize.export.checks import require_absent, require_sixteen_bits
from localfp4.quantize.planning.advice_words import (
    advice_as_object,
    advice_in_words,
    plan_as_object,
    plan_in_words,
)
from localfp4.quantize.planning.advise import advise
from localfp4.quantize.planning.plan import quantise_plan
from localfp4.quantize.recipe import Recipe
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment
from localfp4.text.sanitize import sanitize


def advice_on(model: str, form: str, options: Mapping[str, Any]) -> str:
    """Return which recipe suits a model and a machine, as text or JSON.

    Args:
        model: As the user called it.
        form: ``md`` or ``json``.
        options: Of the command.

    Raises:
        UserError: There is no such model or card, or the model is quantised already.
    """
    opened, where, machine = _opened(model, options)
    found = advise(opened, model, machine, options["accuracy"])
    if form == "json":
        return _json({"model": model, "device": where, **advice_as_object(found)})
    return "\n".join(sanitize(line) for line in advice_in_words(model, where, found))


def needs_of(
    model: str, recipe: Recipe, out: Path, form: str, options: Mapping[str, Any]
) -> tuple[str, bool]:
    """Return what a quantisation takes, as text or JSON, and whether there is as much.

    Raises:
        UserError: There is no such model or card, the model is quantised already, or ``out`` is
            there.
    """
    opened, where, machine = _opened(model, options)
    require_sixteen_bits(opened, model)
    require_absent(out)
    limit = options["vram_limit"]
    plan = quantise_plan(
        opened, recipe, machine, limit_bytes=None if limit is None else int(limit * 1e9)
    )
    if form == "json":
        found = {"model": model, "device": where, "out": str(out), **plan_as_object(plan)}
        return _json(found), plan.fits
    lines = [f"{model} on {where}, to {out}", *plan_in_words(plan)]
    return "\n".join(sanitize(line) for line in lines), plan.fits


def _opened(model: str, options: Mapping[str, Any]) -> tuple[OpenedModel, str, Machine]:
    where, machine = chosen_machine(EngineConfig(model, device=options["device"]), options["gpu"])
    return open_model(find(model)), where, machine


def _json(found: dict[str, Any]) -> str:
    return json.dumps({"environment": asdict(environment(usable_cores()))} | found)
