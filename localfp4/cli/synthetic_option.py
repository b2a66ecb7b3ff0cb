"""``--synthetic``, for commands that can do without weights."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from localfp4.checkpoint.hub import DEMO
from localfp4.checkpoint.synthetic.catalogue import CATALOGUE
from localfp4.checkpoint.synthetic.model import synthetic_model
from localfp4.cli.completing.values import synthetic_names
from localfp4.cli.model_name import meant
from localfp4.errors import UserError

_Command = TypeVar("_Command", bound=Callable[..., Any])


def synthetic_option(command: _Command) -> _Command:
    """Add ``--synthetic``, which :func:`chosen_model` reads as ``synthetic``."""
    option = click.option(
        "--synthetic",
        metavar="NAME[:LAYERS][@bf16]",
        shell_complete=synthetic_names,
        help="Instead of MODEL: the shapes and formats of a published model with random weights, "
        "without a download; all of its layers or the first few, with @bf16 not quantised. "
        f"NAME is {', '.join(CATALOGUE)}.",
    )
    return option(command)


def chosen_model(model: str | None, synthetic: str | None) -> str:
    """Return what the engine calls the model that was named; the demo where none was.

    Args:
        model: The command's argument, ``None`` where it was left out.
        synthetic: What ``--synthetic`` was given.

    Raises:
        UserError: There is no such model, or both were given.
    """
    if synthetic is None:
        return meant(DEMO if model is None else model)
    if model is not None:
        raise UserError(
            f"MODEL and --synthetic name two models, {model} and {synthetic}; leave one out."
        )
    return str(synthetic_model(synthetic))
