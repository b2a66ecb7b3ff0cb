"""How each shell asks for completions, and how it wants to be answered."""

import os
import shlex

from click.shell_completion import (
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from localfp4.cli.completing.scripts import BASH, POWERSHELL
from localfp4.cli.lazy import LazyGroup


class _TwoWords(ShellComplete):
    """Adds the second words of commands such as ``bench plot`` to what else may stand there."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what may stand at the end of the words so far."""
        found = super().get_completions(args, incomplete)
        words = [word for word in args if not word.startswith("-")]
        if isinstance(self.cli, LazyGroup) and len(words) == 1:
            second = self.cli.second_words(words[0], incomplete)
            return [*second, *(one for one in found if one.type == "plain" or not second)]
        return found


class Bash(_TwoWords):
    """Bash, which breaks words at colons and replaces only what stands behind the last break."""

    name = "bash"
    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor as a shell would."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], incomplete

    def complete(self) -> str:
        """Return the answer of all completions, less what stands on the line already."""
        args, incomplete = self.get_completion_args()
        breaks = os.environ.get("COMP_BREAKS", "")
        broken = max((incomplete.rfind(one) for one in breaks), default=-1) + 1
        return "\n".join(
            f"{item.type}\t{_behind(incomplete[:broken], item)}"
            for item in self.get_completions(args, incomplete)
        )

    def format_completion(self, item: CompletionItem) -> str:
        """Return the answer of one completion."""
        return f"{item.type}\t{_behind('', item)}"


class Zsh(_TwoWords, ZshComplete):
    """Zsh, as click has it."""


class Fish(_TwoWords, FishComplete):
    """Fish, as click has it, whose script takes a comma for the end of an explanation."""

    def format_completion(self, item: CompletionItem) -> str:
        """Return the answer of one completion."""
        help_ = item.help.replace(",", ";") if item.help else None
        return super().format_completion(CompletionItem(item.value, item.type, help_))


class PowerShell(_TwoWords):
    """PowerShell 7, and the 5.1 that comes with Windows."""

    name = "powershell"
    source_template = POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words, which come one a line, as they were typed."""
        typed = os.environ["COMP_WORDS"].split("\n")
        words = [word.strip().removeprefix(">").strip("'\"") for word in typed]
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Return the answer of one completion."""
        return f"{item.type}\t{item.value}\t{' '.join((item.help or '').split())}"


SHELLS: dict[str, type[ShellComplete]] = {
    "bash": Bash,
    "zsh": Zsh,
    "fish": Fish,
    "powershell": PowerShell,
}


def _behind(typed: str, item: CompletionItem) -> str:
    """Return what bash is to insert behind what was typed of a word."""
    value = str(item.value)
    if item.type != "plain":
        return value
    is_begun = value.lower().startswith(typed.lower())
    kept = value[len(typed) :] if is_begun else value
    return shlex.quote(kept) if kept else ""
