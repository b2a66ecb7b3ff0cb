"""The ``localfp4`` command: its sub-commands, and what its exit codes are."""

import os
from collections.abc import Sequence

import click

from localfp4 import __version__
from localfp4.cli.completing import VARIABLE
from localfp4.cli.failure import exit_code
from localfp4.cli.lazy import LazyCommand
from localfp4.cli.main_group import MainGroup

COMMANDS = {
    "chat": LazyCommand("localfp4.cli.chat:chat", "Talk with a model."),
    "run": LazyCommand("localfp4.cli.run:run", "Answer one prompt on standard output."),
    "history": LazyCommand(
        "localfp4.cli.history:history", "List, search, rename, export, delete conversations."
    ),
    "serve": LazyCommand(
        "localfp4.cli.serve.command:serve", "Serve a model to other programs over HTTP."
    ),
    "ps": LazyCommand("localfp4.cli.serve.ps:ps", "List the servers that run."),
    "stop": LazyCommand("localfp4.cli.serve.stop:stop", "End a server."),
    "pull": LazyCommand("localfp4.cli.pull:pull", "Download a model."),
    "ls": LazyCommand("localfp4.cli.ls:ls", "List the models on this computer."),
    "rm": LazyCommand("localfp4.cli.rm:rm", "Delete a downloaded model."),
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
    "doctor": LazyCommand(
        "localfp4.cli.doctor:doctor", "Find out what is wrong here, and how to mend it."
    ),
    "config": LazyCommand("localfp4.cli.config:config", "List, read and change settings."),
    "env": LazyCommand("localfp4.cli.env:env", "Describe this computer for a bug report."),
    "completion": LazyCommand(
        "localfp4.cli.completion:completion", "Print what completes commands in a shell."
    ),
}


@click.group(
    cls=MainGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="MODEL is demo (bundled), a short name such as qwen3:8b, a folder, or a Hugging Face id "
    "such as org/name.",
)
@click.version_option(__version__, prog_name="localfp4", message="%(prog)s %(version)s")
@click.pass_context
def localfp4(ctx: click.Context) -> None:
    """Chat with 4-bit models on your own PC."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run_command_line(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; every error has been told on standard error."""
    if instruction := os.environ.get(VARIABLE):
        from localfp4.cli.completing.answer import answer

        return exit_code(lambda: answer(localfp4, instruction, "localfp4"))
    return exit_code(
        lambda: localfp4.main(
            list(arguments), prog_name="localfp4", standalone_mode=False, obj=tuple(arguments)
        )
    )
