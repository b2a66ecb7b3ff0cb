"""``localfp4 fit``: whether a model fits, on this computer or on a card that is not here."""

import json
from dataclasses import asdict
from typing import Any

import click

from localfp4.checkpoint.hub import find
from localfp4.cli.fit_report import as_object, in_words
from localfp4.cli.options import Gigabytes, engine_config, engine_options
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.config import EngineConfig
from localfp4.errors import ContextError, RequestError
from localfp4.models.forecast import forecast
from localfp4.models.here import machine_here
from localfp4.models.plan import Machine, card_machine
from localfp4.telemetry.cards import card_named
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_SYSTEM_BYTES = 4 * 10**9
"""Main memory that an operating system and a desktop take, of a computer that is not here."""


@click.command()
@click.argument("model", required=False)
@synthetic_option
@click.option(
    "--gpu",
    metavar="NAME",
    help="Plan for this card instead of what is here, such as 4070 or 'rtx 5070 ti'.",
)
@click.option(
    "--ram",
    type=Gigabytes(min=0, min_open=True),
    metavar="GB",
    default=32.0,
    show_default=True,
    help="Main memory of the computer that --gpu is in.",
)
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fit(
    model: str | None,
    synthetic: str | None,
    gpu: str | None,
    ram: float,
    as_json: bool,
    **options: Any,
) -> int:
    """Tell whether a model fits, how long its context may be, and how fast it can be.

    MODEL is demo (bundled, and meant where none is named), a folder, or a Hugging Face id that has
    been downloaded before.
    """
    name = chosen_model(model, synthetic)
    config = engine_config(name, options)
    where, machine = _machine(config, gpu, ram)
    source = find(name)
    found: dict[str, Any] = {"environment": asdict(environment(usable_cores()))}
    try:
        planned = forecast(config, source, machine)
    except ContextError as error:
        if not as_json:
            raise
        click.echo(json.dumps(found | as_object(name, where, machine, str(error))))
        return 2
    if as_json:
        click.echo(json.dumps(found | as_object(name, where, machine, planned)))
    else:
        click.echo("\n".join(in_words(name, where, planned)))
    return 0


def _machine(config: EngineConfig, gpu: str | None, ram: float) -> tuple[str, Machine]:
    """Return what to plan for, and its name.

    Raises:
        RequestError: There is no such card, or what is asked for contradicts itself.
    """
    if gpu is not None:
        if config.device is not None and config.device.startswith("cpu"):
            raise RequestError("--gpu and --device cpu ask for two plans; leave one of them out.")
        card = card_named(gpu)
        return card.name, card_machine(card, max(int(ram * 1e9) - _SYSTEM_BYTES, 0))
    return machine_here(config.device)
