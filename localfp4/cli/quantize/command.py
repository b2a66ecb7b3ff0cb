"""``localfp4 quantize``: makes a 4-bit checkpoint of a 16-bit model."""

import json
from os.path import expanduser
from pathlib import Path
from typing import Any

import click

from localfp4.checkpoint.hub import download
from localfp4.checkpoint.synthetic.model import SyntheticModel
from localfp4.cli.completing.values import card_names, model_names
from localfp4.cli.failure import remark
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.model_name import meant
from localfp4.cli.option_types import Gigabytes
from localfp4.cli.progress import load_visibly
from localfp4.cli.quantize.foresight import advice_on, needs_of
from localfp4.cli.quantize.options import chosen_recipe, recipe_options
from localfp4.cli.quantize.progress import followed
from localfp4.cli.quantize.report import as_object, in_words
from localfp4.errors import RequestError
from localfp4.quantize.export.checks import require_absent, require_layout
from localfp4.quantize.job import Job
from localfp4.quantize.recipe import METHODS, Recipe

_EPILOG = "\b\nMethods:\n" + "\n".join(
    f"  {name:<12} {method.help}" for name, method in METHODS.items()
)


@click.command(epilog=_EPILOG)
@click.argument("model", shell_complete=model_names)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to make; by default one here that is called after the model and the recipe.",
)
@recipe_options
@click.option("--advise", is_flag=True, help="Tell which recipe suits the model and the card.")
@click.option(
    "--accuracy",
    type=click.Choice(["fast", "balanced", "best"]),
    default="balanced",
    show_default=True,
    help="What --advise looks for: a quick result, or answers like the original's.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    shell_complete=card_names,
    help="Card that --advise and --dry-run are for, such as 4070.",
)
@click.option("--dry-run", is_flag=True, help="Tell what it takes in memory and on disk, and stop.")
@click.option("--device", metavar="DEVICE", help="cuda, cuda:1 or cpu; by default the best GPU.")
@click.option(
    "--vram-limit",
    type=Gigabytes(min=0, min_open=True),
    metavar="GB",
    help="Most GPU memory to use.",
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Format of what is printed at the end.",
)
def quantize(model: str, out: Path | None, output: str, **options: Any) -> int:
    """Make a 4-bit checkpoint of a 16-bit model, on this computer.

    MODEL is a folder or a Hugging Face id. One layer at a time is in the memory of the GPU, so that
    models run through a card that they would not fit. What is written is NVFP4 as vLLM and
    transformers read it, unless --format or --export say otherwise. A run that was interrupted goes
    on where it was when the same command is given again; nothing that exists is overwritten.
    """
    recipe = chosen_recipe(options)
    require_layout(recipe)
    model = meant(model)
    if options["advise"]:
        click.echo(advice_on(model, output, options))
        return 0
    target = out or Path(default_name(model, recipe))
    if options["dry_run"]:
        told, fits = needs_of(model, recipe, target, output, options)
        click.echo(told)
        return 0 if fits else 2
    if options["gpu"] is not None:
        raise click.UsageError(
            "--gpu plans for a card; add --dry-run or --advise, or leave it out."
        )
    require_absent(target)
    source = load_visibly(download(model))
    if isinstance(source, SyntheticModel):
        raise RequestError(
            f"{model} has random weights and no tokenizer, so there is nothing to keep of it; name "
            "a folder or a Hugging Face id."
        )
    job = Job(
        model,
        source,
        recipe,
        target,
        device=options["device"],
        threads=options["threads"],
        device_bytes=_bytes(options["vram_limit"]),
    )
    with exit_on_interrupt():
        from localfp4.quantize.run import quantise
    try:
        (made,) = followed(quantise(job))
    except KeyboardInterrupt:
        remark("what is done is kept: the same command goes on from there.")
        raise
    found = json.dumps(as_object(model, made)) if output == "json" else in_words(model, made)
    click.echo(found)
    return 0


def default_name(model: str, recipe: Recipe) -> str:
    """Return what a folder is called where nobody says, such as ``Qwen3-8B-nvfp4-w4a16-gptq``."""
    folder = Path(expanduser(model))
    name = folder.resolve().name if folder.is_dir() else model.partition("@")[0].rpartition("/")[2]
    return f"{name}-{recipe.format}-{recipe.precision}-{recipe.method}".replace(":", "-")


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)
