"""``localfp4 completion``: the script that makes a shell complete commands."""

import sys

import click

from localfp4.cli.completing.answer import script
from localfp4.cli.completing.shells import SHELLS
from localfp4.cli.failure import remark

_BY = {
    "bash": 'add this line to ~/.bashrc: eval "$(localfp4 completion bash)"',
    "zsh": 'add this line to ~/.zshrc, behind compinit: eval "$(localfp4 completion zsh)"',
    "fish": "localfp4 completion fish > ~/.config/fish/completions/localfp4.fish",
    "powershell": "add this line to the file that $PROFILE names: "
    "localfp4 completion powershell | Out-String | Invoke-Expression",
}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, models, cards and servers.

    \b
    bash        in ~/.bashrc:   eval "$(localfp4 completion bash)"
    zsh         in ~/.zshrc:    eval "$(localfp4 completion zsh)"
    fish        once:           localfp4 completion fish > ~/.config/fish/completions/localfp4.fish
    powershell  in $PROFILE:    localfp4 completion powershell | Out-String | Invoke-Expression
    """  # noqa: D301 - click takes the backspace itself for "leave these lines as they are"
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    click.echo(script(root.command, shell, str(root.info_name)), nl=False)
    if sys.stdout.isatty():
        remark(f"to use it, {_BY[shell]}")
