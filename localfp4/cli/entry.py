"""The ``localfp4`` command: its sub-commands, and what its exit codes are."""

from collections.abc import Sequence

import click

from localfp4 import __version__
from localfp4.cli.failure import exit_code
from localfp4.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "chat": LazyCommand("localfp4.cli.chat:chat", "Talk with a model."),
    "run": LazyCommand("localfp4.cli.run:run", "Answer one prompt on standard output."),
    "history": LazyCommand(
        "localfp4.cli.history:history", "List, search, export and delete conversations."
    ),
    "serve": LazyCommand(
        "localfp4.cli.serve.command:serve", "Serve a model to other programs over HTTP."
    ),
    "ps": LazyCommand("localfp4.cli.serve.ps:ps", "List the servers that run."),
    "stop": LazyCommand("localfp4.cli.serve.stop:stop", "End a server."),
    "show": LazyCommand("localfp4.cli.show:show", "Describe a model: layers, formats, kernels."),
    "fit": LazyCommand(
        "localfp4.cli.fit:fit", "Tell whether a model fits, and how fast it can be."
    ),
    "quantize": LazyCommand(
        "localfp4.cli.quantize.command:quantize", "Make a 4-bit model of a 16-bit one."
    ),
    "eval": LazyCommand(
        "localfp4.cli.evaluation.command:evaluate", "Measure how good the answers of models are."
    ),
    "eval compare": LazyCommand(
        "localfp4.cli.evaluation.compare:compare", "Tell whether two evaluations differ."
    ),
    "bench": LazyCommand("localfp4.cli.bench.measure:measure", "Measure how fast models are."),
    "bench plot": LazyCommand("localfp4.cli.bench.plot:plot", "Draw runs that were measured."),
    "bench compare": LazyCommand(
        "localfp4.cli.bench.compare:compare", "Tell what changed between two runs."
    ),
    "bench peers": LazyCommand(
        "localfp4.cli.bench.peers:peers", "Measure a model here and in other libraries."
    ),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="MODEL is demo (bundled), a folder, or a Hugging Face id such as org/name.",
)
@click.version_option(__version__, prog_name="localfp4", message="%(prog)s %(version)s")
@click.pass_context
def localfp4(ctx: click.Context) -> None:
    """Chat with 4-bit models on your own PC."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run_command_line(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; every error has been told on standard error."""
    return exit_code(
        lambda: localfp4.main(
            list(arguments), prog_name="localfp4", standalone_mode=False, obj=tuple(arguments)
        )
    )
