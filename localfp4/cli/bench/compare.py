"""``localfp4 bench compare``: what changed from one run to another."""

from pathlib import Path

import click

from localfp4.bench.comparing.compare import METRICS
from localfp4.bench.comparing.compare import compare as compare_runs
from localfp4.bench.comparing.compare_report import comparison_to_json, comparison_to_markdown
from localfp4.bench.comparing.compare_runs import pick
from localfp4.bench.records import Run
from localfp4.bench.running.store import read_run
from localfp4.cli.bench.results import terminal_width
from localfp4.cli.bench.types import Percent, Words


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--threshold",
    type=Percent(),
    default="5%",
    show_default=True,
    help="Share by which a figure may become worse.",
)
@click.option(
    "--metric",
    "metrics",
    type=Words("METRIC[,METRIC…]", tuple(METRICS)),
    default=tuple(METRICS),
    help=f"What to compare, of {', '.join(METRICS)}; by default all.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Format of the report.",
)
def compare(a: str, b: str, threshold: float, metrics: tuple[str, ...], output: str) -> int:
    """Tell what became faster or slower from run A to run B, and how sure that is.

    A and B are folders that `localfp4 bench --out` filled, or reports in JSON; A:LABEL is one
    series of a run, such as out:w4a16, so that two formats of one run can be compared. Repeats are
    compared in pairs, which had the same prompts.

    Ends with exit code 1 where a figure became worse by more than the threshold and its interval
    of 95% confidence excludes chance, or where B could not run what A did.
    """
    found = compare_runs(_run(a), _run(b), threshold, metrics, (a, b))
    if output == "json":
        click.echo(comparison_to_json(found))
    else:
        click.echo(comparison_to_markdown(found, terminal_width()))
    return int(found.fails)


def _run(name: str) -> Run:
    """Read a run, or one series of it; a path with a colon in it is still a path.

    Raises:
        UserError: There is no such run or series, or it cannot be read.
    """
    path, colon, label = name.rpartition(":")
    if colon and path and not Path(name).exists() and Path(path).exists():
        return pick(read_run(Path(path)), path, label)
    return read_run(Path(name))
