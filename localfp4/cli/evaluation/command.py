"""``localfp4 eval``: how good the answers of models are, beside their original's."""

from collections.abc import Mapping
from typing import Any

import click

from localfp4.checkpoint.hub import download
from localfp4.cli.completing.values import model_names
from localfp4.cli.evaluation.hand_out import hand_out, place
from localfp4.cli.evaluation.options import result_options, what_options
from localfp4.cli.evaluation.series import AS_MADE, one, series
from localfp4.cli.failure import remark
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.model_name import meant
from localfp4.cli.options import engine_config, engine_options_but_precision
from localfp4.cli.progress import load_visibly
from localfp4.models.here import machine_here
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment

_EPILOG = """\b
localfp4 eval compare A B       tell whether two evaluations differ
localfp4 bench … --eval FILE    quality beside speed
"""


@click.command(epilog=_EPILOG)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=model_names)
@what_options
@result_options
@engine_options_but_precision
def evaluate(models: tuple[str, ...], **options: Any) -> int:
    """Measure how good the answers of models are.

    Every MODEL reads a text: how much it is surprised by it (perplexity) and, beside --reference,
    how far its answers are from the original's (KL divergence, the likeliest token). --tasks asks
    the questions of lm_eval, --needle looks for facts in long contexts. Several models or formats
    are compared in pairs, question by question.

    Where the computer cannot multiply in a format, its arithmetic is emulated: the answers are the
    same, and slow to come.
    """
    _require_something(options)
    where, reference = place(options), options["reference"]
    models = tuple(map(meant, models))
    reference = None if reference is None else meant(reference)
    for name in (*models, *([reference] if reference is not None else ())):
        load_visibly(download(name))
    config = engine_config(models[0], options)
    device, machine = machine_here(config.device)
    subjects = series(models, options["formats"], config, machine)
    original = None if reference is None else one(reference, AS_MADE, config, machine)
    if original is not None:
        subjects = [
            each for each in subjects if (each.model, each.format) != (reference, original.format)
        ]
    for each in subjects:
        if each.note:
            remark(each.note)
    with exit_on_interrupt():
        from localfp4.cli.evaluation.go import go, wanted
    found, early = go(wanted(options), subjects, original)
    gpu = device if machine.is_gpu else None
    hand_out(found, where, environment(options["threads"] or usable_cores(), gpu))
    if early is not None:
        raise early
    return 0


def _require_something(options: Mapping[str, Any]) -> None:
    """Refuse to load models for nothing.

    Raises:
        UsageError: Nothing was asked for.
    """
    if options["without_text"] and not (options["tasks"] or options["needle"]):
        raise click.UsageError("--no-text leaves nothing to do: add --tasks or --needle.")
    if options["without_text"] and options["text"] is not None:
        raise click.UsageError("--text and --no-text contradict each other; leave one of them out.")
