"""Options that several of the commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from localfp4.cli.bench.types import PLOTS, Numbers, Words
from localfp4.cli.option_types import Finite

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MOST_RUNS = 1000
"""Of a cell: more are a slip of the hand."""

FORMS = ("md", "csv", "json", "jsonl", "sql")

_CASES = (
    click.option("-b", "--batch", type=Numbers(), help="Requests at a time; by default 1."),
    click.option("-p", "--input-len", type=Numbers(), help="Tokens of each prompt; by default 512."),
    click.option("-n", "--output-len", type=Numbers(), help="Tokens of each answer; by default 128."),
    click.option(
        "-r",
        "--repeats",
        type=click.IntRange(1, _MOST_RUNS),
        help="Measured runs of each cell; by default 5, or as many as begin within a minute.",
    ),
    click.option(
        "--warmup",
        type=click.IntRange(0, _MOST_RUNS),
        help="Runs of each cell before them that are thrown away; by default 1.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Decides the random prompts."
    ),
)  # fmt: skip

_RESULTS = (
    click.option(
        "-o",
        "--output",
        type=click.Choice(FORMS),
        help="Format of the report; by default md, or what the name of --out says.",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for every run as it is measured, the report and plots; or a file, such as "
        "report.json, for the report alone.",
    ),
    click.option(
        "--resume", is_flag=True, help="Go on with the run in --out that was interrupted."
    ),
)

_PICTURES = (
    click.option(
        "--plot",
        type=Words("KIND[,KIND…]", PLOTS),
        default=(),
        help="Draw the figures: png or svg into the folder, term on the terminal.",
    ),
    click.option(
        "--share", is_flag=True, help="Draw a card of the main figures to show around, card.svg."
    ),
    click.option(
        "--eval",
        "evals",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help="Results of evaluations (JSON), shown beside the speeds; may be repeated.",
    ),
)

_PRICES = (
    click.option(
        "--price-kwh",
        type=Finite(min=0),
        metavar="PRICE",
        help="Price of a kilowatt-hour, in any currency: tells what a million tokens cost.",
    ),
    click.option(
        "--price-hour", type=Finite(min=0), metavar="PRICE", help="Price of an hour of the GPU."
    ),
)


def case_options(command: _Command) -> _Command:
    """Add what is run and how often."""
    return _with(_CASES, command)


def result_options(command: _Command) -> _Command:
    """Add where the results go."""
    return _with(_RESULTS, command)


def picture_options(command: _Command) -> _Command:
    """Add what is drawn."""
    return _with(_PICTURES, command)


def price_options(command: _Command) -> _Command:
    """Add what energy and time cost."""
    return _with(_PRICES, command)


def _with(options: tuple[Callable[[_Command], _Command], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
