"""The slash commands: their table and how a typed line is read; what they do is the screen's."""

from dataclasses import dataclass

from localfp4.errors import RequestError


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One command.

    Attributes:
        name: What is typed after the slash.
        action: The action of the chat screen it runs.
        summary: What it does, for the help and the palette.
        argument: What follows the name, for the help; empty for commands that take nothing.
    """

    name: str
    action: str
    summary: str
    argument: str = ""

    @property
    def usage(self) -> str:
        """Return the command as it is typed."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS = (
    SlashCommand("help", "help", "Show keys and commands"),
    SlashCommand("new", "new_chat", "Start a new chat"),
    SlashCommand("regen", "regenerate", "Answer the last message again"),
    SlashCommand("copy", "copy_answer", "Copy the last answer"),
    SlashCommand("system", "system", "Show, set or (with -) remove the system prompt", "TEXT"),
    SlashCommand("set", "set", "Show or change a sampling setting", "NAME VALUE"),
    SlashCommand("stats", "stats", "Show the model, its memory and its speed"),
    SlashCommand("exit", "leave", "Leave"),
)


def parse(line: str) -> tuple[SlashCommand, str]:
    """Read a line that begins with a slash: the command, and the text after its name.

    Raises:
        RequestError: There is no such command, or it takes no text.
    """
    name, _, argument = line.removeprefix("/").partition(" ")
    command = next((c for c in COMMANDS if c.name == name.strip().lower()), None)
    if command is None:
        known = " ".join(f"/{c.name}" for c in COMMANDS)
        raise RequestError(f"There is no command /{name}; there are {known}.")
    if argument.strip() and not command.argument:
        raise RequestError(f"/{command.name} takes nothing after it.")
    return command, argument.strip()
