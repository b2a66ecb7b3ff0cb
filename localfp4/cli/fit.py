"""``localfp4 fit``: whether a model fits, on this computer or on a card that is not here."""

import json
from dataclasses import asdict
from typing import Any

import click

from localfp4.checkpoint.hub import find
from localfp4.cli.chosen_machine import TYPICAL_RAM_GB, chosen_machine
from localfp4.cli.fit_report import as_object, in_words
from localfp4.cli.options import Gigabytes, engine_config, engine_options
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.errors import ContextError
from localfp4.models.forecast import forecast
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment


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
    default=TYPICAL_RAM_GB,
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
    where, machine = chosen_machine(config, gpu, ram)
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
