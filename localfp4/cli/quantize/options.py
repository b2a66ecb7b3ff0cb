"""Options of ``quantize`` that make up a recipe."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast, get_args

import click

from localfp4.cli.option_types import Finite, Gigabytes
from localfp4.quantize.recipe import (
    EXPORTS,
    METHODS,
    SCALE_RULES,
    CalibrationSource,
    Export,
    Precision,
    Recipe,
    Rounding,
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

_ROTATIONS = {"nvfp4": 16, "mxfp4": 32}
"""Features that rotate together where nobody says: those that share a scale."""

_OPTIONS = (
    click.option(
        "--method",
        type=click.Choice([*METHODS]),
        default="gptq",
        show_default=True,
        help="How codes are chosen, see below.",
    ),
    click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        default="w4a16",
        show_default=True,
        help="Weights of 4 bits, and the activations that they are made for.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice([*_ROTATIONS]),
        default="nvfp4",
        show_default=True,
        help="Of the 4-bit weights.",
    ),
    click.option(
        "--scales",
        type=click.Choice(SCALE_RULES),
        default="sweep",
        show_default=True,
        help="How the scale of a block is chosen; absmax is what other quantisers do.",
    ),
    click.option(
        "--damping",
        type=Finite(min=0, min_open=True, max=1),
        default=0.01,
        show_default=True,
        help="What GPTQ adds to the diagonal of a Hessian, as a share of its mean.",
    ),
    click.option(
        "--replay",
        is_flag=True,
        help="Have GPTQ try every scale of a block in full; takes several times as long.",
    ),
    click.option(
        "--rotation",
        type=click.Choice(["16", "32", "64", "128"]),
        help="Features that mr-gptq rotates together; by default those that share a scale.",
    ),
    click.option(
        "--keep",
        default="lm_head",
        show_default=True,
        metavar="NAMES",
        help="What stays in 16 bits: a comma list of names or patterns such as "
        "lm_head,*.down_proj,model.layers.0.*; 'none' keeps nothing. Queries, keys and values stay "
        "together, as do gate and up.",
    ),
    click.option(
        "--target-size",
        type=Gigabytes(min=0, min_open=True),
        metavar="GB",
        help="Size that the weights may have: what suffers most from 4 bits gets 8 or 16.",
    ),
    click.option(
        "--distil",
        type=click.Choice(["scales", "all"]),
        help="Train afterwards against the original: the scales and norms, or all weights.",
    ),
    click.option(
        "--export",
        type=click.Choice(EXPORTS),
        help="Whose layout is written; by default compressed-tensors, for mr-gptq fp-quant.",
    ),
    click.option(
        "--calibration",
        metavar="SOURCE",
        help="Text that the model reads meanwhile: a .txt, .md or .jsonl file, or "
        "hub:org/dataset[/file]; by default text that comes with the program.",
    ),
    click.option(
        "--samples",
        type=click.IntRange(min=1),
        default=128,
        show_default=True,
        help="Windows of that text.",
    ),
    click.option(
        "--length",
        type=click.IntRange(min=2),
        default=2048,
        show_default=True,
        help="Tokens of a window.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**63 - 1),
        default=0,
        show_default=True,
        help="Of the choice of windows.",
    ),
)


def recipe_options(command: _Command) -> _Command:
    """Add the options that :func:`chosen_recipe` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_recipe(options: Mapping[str, Any]) -> Recipe:
    """Return the recipe that options ask for.

    Raises:
        UsageError: They contradict each other.
    """
    method, form = METHODS[options["method"]], options["form"]
    if options["rotation"] is not None and not method.rotates:
        raise click.UsageError("--rotation belongs to --method mr-gptq; add that, or leave it out.")
    if options["replay"] and method.solver != "gptq":
        raise click.UsageError(f"--replay belongs to gptq, and --method is {options['method']}.")
    if form == "mxfp4" and options["scales"] == "four-over-six":
        raise click.UsageError(
            "--scales four-over-six needs scales between powers of two, which MXFP4 has not; "
            "use --scales sweep."
        )
    export = options["export"] or ("fp-quant" if method.rotates else "compressed-tensors")
    rotation = int(options["rotation"] or _ROTATIONS[form]) if method.rotates else 0
    rounding = Rounding(
        method.solver,
        options["scales"],
        options["damping"],
        options["replay"],
        divides=export != "modelopt",
    )
    target = options["target_size"]
    recipe = Recipe(
        method=options["method"],
        precision=options["precision"],
        format=form,
        rounding=rounding,
        rotation=rotation,
        keep=_names(options["keep"]),
        target_bytes=None if target is None else int(target * 1e9),
        distil=options["distil"],
        export=cast(Export, export),
    )
    source = CalibrationSource(
        options["calibration"], options["samples"], options["length"], options["seed"]
    )
    return replace(recipe, calibration=source)


def _names(text: str) -> tuple[str, ...]:
    """Return the names of a comma list; ``none`` and nothing at all are no names."""
    names = dict.fromkeys(word.strip() for word in text.split(","))
    return tuple(name for name in names if name and name != "none")
