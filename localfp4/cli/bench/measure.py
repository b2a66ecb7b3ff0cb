"""``localfp4 bench``: how fast models are, in several formats, here or on a server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.planning.entrants import own_entrants
from localfp4.bench.planning.presets import PRESETS
from localfp4.bench.records import Series
from localfp4.checkpoint.hub import download
from localfp4.cli.bench.contradictions import require_nothing_local, require_sense
from localfp4.cli.bench.destination import destination
from localfp4.cli.bench.finish import finish
from localfp4.cli.bench.go import Field
from localfp4.cli.bench.grouped import Grouped
from localfp4.cli.bench.inside import look_inside
from localfp4.cli.bench.options import (
    case_options,
    picture_options,
    price_options,
    result_options,
)
from localfp4.cli.bench.planning import plan_only
from localfp4.cli.bench.results import extras, require_place
from localfp4.cli.bench.types import Depths, FormatList
from localfp4.cli.bench.wanted import Sizes, Wanted, wanted
from localfp4.cli.completing.values import card_names, model_names
from localfp4.cli.options import engine_config, engine_options_but_precision
from localfp4.cli.progress import load_visibly
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.models.here import machine_here

_SERVER = "localfp4.bench.engines.server:load"

_EPILOG = """\b
Presets:
  study   TTFT, TPOT and throughput over batch sizes at 1,024 tokens of
          input, and over input lengths at batch 16, in four formats
  adallm  the table of AdaLLM: batch, tokens, seconds, tok/s, peak GB
  quick   both sweeps, small enough for a CPU and the demo: some minutes

\b
localfp4 bench plot RUN...      draw runs that were measured
localfp4 bench compare A B      tell what changed between two runs
localfp4 bench peers [MODEL]    beside transformers, llama.cpp and vLLM
"""


@click.command(cls=Grouped, epilog=_EPILOG)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=model_names)
@synthetic_option
@click.option(
    "--precision",
    "formats",
    type=FormatList(),
    default=(),
    help="Formats of each model: bf16, fp8, w4a16, w4a8, w4a4, mxfp4, int4, or auto, as the model "
    "is stored and best run here; by default that, or what the preset says.",
)
@click.option(
    "--preset", type=click.Choice([*PRESETS]), help="A whole benchmark by name, see below."
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="AXIS[=VALUES][@FIXED]",
    help="A list of cases, such as batch@p=1024 or input=128..8192*2@b=16; may be repeated.",
)
@click.option("--depth", type=Depths(), help="Tokens that are in the context before the prompt.")
@case_options
@click.option(
    "--ignore-eos/--no-ignore-eos",
    default=True,
    show_default=True,
    help="Whether answers have their exact length, whatever the model says.",
)
@result_options
@picture_options
@price_options
@click.option("--dry-run", is_flag=True, help="Tell what each cell needs, and measure nothing.")
@click.option(
    "--gpu",
    metavar="NAME",
    shell_complete=card_names,
    help="Card that a dry run is for, such as 4090.",
)
@click.option("--base-url", metavar="URL", help="Measure an OpenAI-compatible server instead.")
@click.option(
    "--api-key-env", metavar="NAME", help="Environment variable with the key of that server."
)
@click.option("--profile", is_flag=True, help="Tell where the time of a decode step goes.")
@click.option(
    "--host",
    is_flag=True,
    help="Measure what steps cost without the model: scheduler, sampler, detokenizer.",
)
@engine_options_but_precision
def measure(
    models: tuple[str, ...],
    synthetic: str | None,
    output: str | None,
    out: Path | None,
    **options: Any,
) -> int:
    """Measure how fast models are: TTFT, TPOT, tokens per second, memory, and their limits.

    MODEL is a folder, a Hugging Face id, or demo, which is bundled and runs where none is named;
    several are measured side by side. Lengths and batch sizes may be comma lists or ranges, such as
    -b 1,4,16 or -p 128..8192*2: every combination is run. Prompts are random tokens, answers greedy,
    and nothing is reused between runs. Models and formats take turns within every repeat, so that a
    machine that slows down slows all of them. Ctrl-C reports what has been measured so far; with
    --out DIR it is kept, and --resume goes on.

    Each figure is compared with the card's own limit: the time that its bytes take at the speed of
    a copy, or its operations at that of a large product, both measured in the same run.
    """
    chosen = _chosen(options)
    place = destination(out, output)
    made = extras(options, is_adallm=chosen.is_adallm)
    require_place(place, made, resume=options["resume"])
    require_sense(made, options)
    if options["base_url"] is not None:
        require_nothing_local(models, synthetic, options)
        return finish(_server(models, chosen, options), chosen, place, made, options)
    named = models or (None,)
    names = tuple(dict.fromkeys(chosen_model(model, synthetic) for model in named))
    if options["dry_run"]:
        place.report(plan_only(names, chosen, place.form, options))
        return 0
    if options["profile"] or options["host"]:
        place.report(look_inside(names, chosen, place.form, options))
        return 0
    for name in names:
        load_visibly(download(name))
    field, gpu = _own(names, chosen, options)
    return finish(field, chosen, place, made, options, gpu)


def _chosen(options: Mapping[str, Any]) -> Wanted:
    sizes = Sizes(
        options["batch"],
        options["input_len"],
        options["output_len"],
        options["depth"],
        options["sweeps"],
    )
    return wanted(
        options["preset"], sizes, options["formats"], options["repeats"], options["warmup"]
    )


def _own(
    names: Sequence[str], chosen: Wanted, options: Mapping[str, Any]
) -> tuple[Field, str | None]:
    """Return who of this engine runs, and the name of the card that they run on, if any."""
    config = engine_config(names[0], options)
    where, machine = machine_here(config.device)
    entrants, refused = own_entrants(
        names, chosen.formats, chosen.cases, config, machine, ignore_eos=options["ignore_eos"]
    )
    return Field(entrants, refused, machine.room_bytes), where if machine.is_gpu else None


def _server(models: Sequence[str], chosen: Wanted, options: Mapping[str, Any]) -> Field:
    """Return a server as the only one who runs."""
    model, url = models[0] if models else None, options["base_url"]
    settings = {
        "base_url": url,
        "model": model,
        "api_key_variable": options["api_key_env"],
        "ignore_eos": options["ignore_eos"],
    }
    series = Series(model or url, "auto", "server")
    return Field([Entrant(series, _SERVER, settings, chosen.cases)])
