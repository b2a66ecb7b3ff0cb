"""``localfp4 eval compare``: what changed from one evaluation to another."""

from pathlib import Path

import click

from localfp4.cli.bench.results import terminal_width
from localfp4.evaluate.records import Evaluation
from localfp4.evaluate.report.compare import compare_evaluations, pick
from localfp4.evaluate.report.compare_report import comparison_to_json, comparison_to_markdown
from localfp4.evaluate.report.json_report import read_evaluation


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Format of the report.",
)
def compare(a: str, b: str, output: str) -> None:
    """Tell what became better or worse from evaluation A to evaluation B, and how sure that is.

    A and B are reports that `localfp4 eval -o json` wrote, or folders with one; A:LABEL is one
    model of a report, such as report.json:w4a16. Questions that both were asked are compared in
    pairs: McNemar's test for right and wrong, else a bootstrap of the differences.
    """
    found = compare_evaluations(_read(a), _read(b), (a, b))
    if output == "json":
        click.echo(comparison_to_json(found))
    else:
        click.echo(comparison_to_markdown(found, terminal_width()))


def _read(name: str) -> Evaluation:
    """Read an evaluation, or one model of it; a path with a colon in it is still a path."""
    path, label = Path(name), ""
    if not path.exists() and ":" in name:
        head, _, label = name.partition(":")
        path = Path(head)
    if path.is_dir():
        path /= "report.json"
    found = read_evaluation(path)
    return pick(found, str(path), label) if label else found
