"""Options of ``eval``."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from localfp4.cli.bench.types import FormatList, Numbers

_Command = TypeVar("_Command", bound=Callable[..., object])

_WHAT = (
    click.option(
        "--reference",
        metavar="MODEL",
        help="The original to compare with: KL divergence, agreement and what they do to the text.",
    ),
    click.option(
        "--precision",
        "formats",
        type=FormatList(),
        default=("auto",),
        help="Formats of each MODEL, such as w4a16,w4a4; by default the one that it was made for.",
    ),
    click.option(
        "--text",
        metavar="SOURCE",
        help="Text to read: a .txt, .md or .jsonl file, or hub:org/dataset[/file]; by default text "
        "that comes with the program and that it does not calibrate with.",
    ),
    click.option(
        "--tokens",
        type=click.IntRange(min=2),
        default=8192,
        show_default=True,
        help="How much of the text to read.",
    ),
    click.option(
        "--window",
        type=click.IntRange(min=2),
        default=512,
        show_default=True,
        help="Tokens that are read at once; each window begins anew.",
    ),
    click.option(
        "--stride",
        type=click.IntRange(min=1),
        metavar="N",
        help="Tokens that count in a window after the first, behind others that are only read; by "
        "default windows do not overlap.",
    ),
    click.option(
        "--tasks",
        metavar="NAMES",
        help="Tasks of lm_eval, such as hellaswag,piqa,winogrande,mmlu,gsm8k; needs "
        "pip install 'localfp4[eval]'.",
    ),
    click.option(
        "--include-path",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="Folder with tasks of your own for lm_eval.",
    ),
    click.option(
        "--fewshot", type=click.IntRange(min=0), metavar="N", help="Examples before each question."
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        metavar="N",
        help="Items of each task; by default all.",
    ),
    click.option(
        "--chat-template", is_flag=True, help="Ask tasks through the model's chat template."
    ),
    click.option(
        "--unsafe-code",
        is_flag=True,
        help="Run code that the model wrote, which humaneval needs, on this computer.",
    ),
    click.option(
        "--needle",
        type=Numbers(least=128),
        default=(),
        help="Hide facts in contexts of so many tokens and ask for them, such as 4096,16384.",
    ),
    click.option(
        "--no-text", "without_text", is_flag=True, help="Leave the text out; tasks or needles only."
    ),
)

_RESULTS = (
    click.option(
        "-o",
        "--output",
        type=click.Choice(["md", "json"]),
        help="Format of the report; by default md, or what --out is called.",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="File for the report, or a folder for all of it.",
    ),
    click.option(
        "--plot",
        type=click.Choice(["png", "svg"]),
        help="Draw the distribution of the divergence and the figures beside each other.",
    ),
)


def what_options(command: _Command) -> _Command:
    """Add what is evaluated, and on what."""
    return _with(_WHAT, command)


def result_options(command: _Command) -> _Command:
    """Add where results go."""
    return _with(_RESULTS, command)


def _with(options: tuple[Callable[[_Command], _Command], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
