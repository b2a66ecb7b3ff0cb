"""``localfp4 fit``: whether a model fits, on this computer or on a card that is not here."""

import json
from dataclasses import asdict
from typing import Any

import click

from localfp4.cli.chosen_machine import TYPICAL_RAM_GB, check_no_device, chosen_machine
from localfp4.cli.completing.values import card_names, model_names
from localfp4.cli.fit_all import as_rows, in_lines, on_all_cards
from localfp4.cli.fit_report import as_object, in_words
from localfp4.cli.looking import download_bytes, looked_at
from localfp4.cli.option_types import Gigabytes
from localfp4.cli.options import engine_config, engine_options
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.forecast import forecast
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@synthetic_option
@click.option(
    "--gpu",
    metavar="NAME",
    shell_complete=card_names,
    help="Plan for this card instead of what is here, such as 4070 or 'rtx 5070 ti'; all is a line "
    "for each card.",
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

    MODEL is demo (bundled, and meant where none is named), a folder, a short name such as qwen3:8b,
    or a Hugging Face id, of which no more than headers is downloaded.
    """
    name = chosen_model(model, synthetic)
    config = engine_config(name, options)
    if gpu is not None and gpu.lower() == "all":
        return _tell_of_all_cards(name, config, ram, as_json=as_json)
    where, machine = chosen_machine(config, gpu, ram)
    source = looked_at(name)
    found = _environment()
    try:
        planned = forecast(config, source, machine)
    except ContextError as error:
        if not as_json:
            raise
        click.echo(json.dumps(found | as_object(name, where, machine, source, str(error))))
        return 2
    if as_json:
        click.echo(json.dumps(found | as_object(name, where, machine, source, planned)))
    else:
        click.echo("\n".join(in_words(name, where, source, planned)))
    return 0


def _tell_of_all_cards(name: str, config: EngineConfig, ram: float, *, as_json: bool) -> int:
    check_no_device(config)
    source = looked_at(name)
    found = on_all_cards(config, source, ram)
    if as_json:
        told = {"model": name, "download_bytes": download_bytes(source)}
        click.echo(json.dumps(_environment() | told | {"rows": list(as_rows(found))}))
    else:
        click.echo("\n".join(in_lines(name, source, found)))
    return 0


def _environment() -> dict[str, Any]:
    return {"environment": asdict(environment(usable_cores()))}
