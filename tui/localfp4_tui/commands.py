"""The slash commands: their table and how a typed line is read; what they do is the screen's."""

from dataclasses import dataclass

from localfp4.errors import RequestError
from localfp4.settings import likely


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One command.

    Attributes:
        name: What is typed after the slash.
        action: The action of the chat screen it runs.
        summary: What it does, for the help and the palette.
        argument: What follows the name, for the help; empty for commands that take nothing.
        needs_argument: Whether it does nothing of use without one.
    """

    name: str
    action: str
    summary: str
    argument: str = ""
    needs_argument: bool = False

    @property
    def usage(self) -> str:
        """Return the command as it is typed."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS = (
    SlashCommand("help", "help", "Show keys and commands"),
    SlashCommand("model", "model", "Choose another model", "[NAME]"),
    SlashCommand("new", "new_chat", "Start a new chat"),
    SlashCommand("sessions", "sessions", "Go on with an earlier chat", "[WORDS]"),
    SlashCommand("title", "title", "Name this chat", "[TEXT]"),
    SlashCommand("system", "system", "Show, set or (with -) remove the system prompt", "[TEXT]"),
    SlashCommand("set", "set", "Show or change a sampling setting", "[NAME VALUE|model]"),
    SlashCommand("think", "think", "Have the model think first, or not", "[on|off|auto]"),
    SlashCommand("file", "file", "Attach a text file", "PATH", needs_argument=True),
    SlashCommand("regen", "regenerate", "Answer the last message again"),
    SlashCommand("continue", "continue_answer", "Go on with the last answer"),
    SlashCommand("diff", "diff", "Compare the last answer with the one before it"),
    SlashCommand("compact", "compact", "Put a summary in the place of what was said"),
    SlashCommand("context", "context", "Show what fills the context"),
    SlashCommand("copy", "copy_answer", "Copy the last answer, or a code block of it", "[N]"),
    SlashCommand("export", "export", "Write this chat to a file", "[md|json] [PATH]"),
    SlashCommand("heat", "heat", "Shade tokens by their probability", "[on|off]"),
    SlashCommand("fit", "fit", "See what fits the memory, by length of context", "[MODEL]"),
    SlashCommand("stats", "stats", "Show the model, its memory and its speed"),
    SlashCommand("bench", "bench", "Measure the model's speed"),
    SlashCommand("compare", "compare", "Ask two precisions or models the same", "[A B]"),
    SlashCommand("theme", "theme", "Choose the colours", "[NAME]"),
    SlashCommand("exit", "leave", "Leave"),
)


def parse(line: str) -> tuple[SlashCommand, str]:
    """Read a line that begins with a slash: the command, and the text after its name.

    Raises:
        RequestError: There is no such command, or it takes no text.
    """
    name, *rest = line.removeprefix("/").split(maxsplit=1) or [""]
    argument = rest[0] if rest else ""
    command = next((c for c in COMMANDS if c.name == name.lower()), None)
    if command is None:
        known = [f"/{c.name}" for c in COMMANDS]
        raise RequestError(f"There is no command /{name}; {likely(f'/{name}', known)}")
    if argument.strip() and not command.argument:
        raise RequestError(f"/{command.name} takes nothing after it.")
    if command.needs_argument and not argument.strip():
        raise RequestError(f"/{command.name} needs something after it: {command.usage}.")
    return command, argument.strip()
