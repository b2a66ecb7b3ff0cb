"""``localfp4 bench peers``: the same work in this engine and in others, in one run."""

from pathlib import Path
from typing import Any

import click

from localfp4.bench.planning.entrants import own_entrants
from localfp4.bench.planning.peers import peer_entrants
from localfp4.checkpoint.hub import DEMO, download
from localfp4.cli.bench.destination import destination
from localfp4.cli.bench.finish import finish
from localfp4.cli.bench.go import Field
from localfp4.cli.bench.grouped import Grouped
from localfp4.cli.bench.options import (
    case_options,
    picture_options,
    price_options,
    result_options,
)
from localfp4.cli.bench.results import extras, require_place
from localfp4.cli.bench.types import FormatList
from localfp4.cli.bench.wanted import Sizes, wanted
from localfp4.cli.completing.values import model_names
from localfp4.cli.model_name import meant
from localfp4.cli.options import engine_config, engine_options_but_precision
from localfp4.cli.progress import load_visibly
from localfp4.models.here import machine_here
from localfp4.telemetry.cpu import usable_cores


@click.command(cls=Grouped)
@click.argument("model", default=DEMO, shell_complete=model_names)
@click.option(
    "--precision",
    "formats",
    type=FormatList(),
    default=("auto",),
    help="Formats of this engine, such as w4a16,bf16; by default as it runs the model best.",
)
@click.option(
    "--bf16",
    metavar="MODEL",
    shell_complete=model_names,
    help="The unquantised original, for libraries that cannot run MODEL itself.",
)
@click.option(
    "--gguf",
    multiple=True,
    metavar="FILE",
    help="The model for llama.cpp; may be repeated.",
)
@case_options
@result_options
@picture_options
@price_options
@engine_options_but_precision
def peers(
    model: str,
    bf16: str | None,
    gguf: tuple[str, ...],
    output: str | None,
    out: Path | None,
    **options: Any,
) -> int:
    """Measure MODEL here and in transformers, llama.cpp (llama-cpp-python) and vLLM.

    Each runs in a process of its own, with the same prompts and threads, and all take turns within
    every repeat. What is not installed is left out, and the table says how to install it. MODEL is
    demo where none is named.
    """
    sizes = Sizes(options["batch"], options["input_len"], options["output_len"])
    chosen = wanted(None, sizes, options["formats"], options["repeats"], options["warmup"])
    place, made = destination(out, output), extras(options)
    require_place(place, made, resume=options["resume"])
    model, bf16 = meant(model), meant(bf16) if bf16 else None
    for name in (model, *([bf16] if bf16 else [])):
        load_visibly(download(name))
    config = engine_config(model, options)
    where, machine = machine_here(config.device)
    own, refused = own_entrants([model], chosen.formats, chosen.cases, config, machine)
    others, missing = peer_entrants(
        model,
        chosen.cases,
        bf16=bf16,
        gguf=gguf,
        threads=config.threads or usable_cores(),
        device=config.device or ("cuda" if machine.is_gpu else "cpu"),
    )
    field = Field((*own, *others), (*refused, *missing), machine.room_bytes)
    return finish(field, chosen, place, made, options, where if machine.is_gpu else None)
