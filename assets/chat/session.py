"""Hold a real conversation with the demo model in tmux, and leave pictures of it.

    python assets/chat/session.py [FOLDER]

It needs tmux and an installed localfp4, and nothing else: what it keeps goes into a folder of its
own, away from your conversations. Pictures are SVG, and PNG too where ``cairosvg`` is installed;
by default they lie beside this script.
"""

import html
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

BF16 = os.path.relpath(Path(__file__).parents[1] / "demo" / "bf16")
WIDTH, HEIGHT = 100, 30
PATIENCE_S = 90.0
REST_TRIES = 6
"""Looks at a screen until it is drawn anyway: figures of a busy computer never rest."""
SETTINGS = """
[chat]
theme = "dark"

[sampling]
seed = 7
max_tokens = 120
"""


TEXT_RUN = re.compile(r'(<text [^>]*?)x="([\d.]+)"([^>]*?) textLength="([\d.]+)"([^>]*)>([^<]+)<')
"""A run of text in an SVG that rich has drawn: where it begins, and how long it is."""

DARK = TerminalTheme((21, 23, 28), (227, 230, 234), [(0, 0, 0)] * 8)
"""What is behind the chat; it has colours of its own."""

QUESTIONS = (
    "What is NVFP4?",
    "What is 17 plus 25?",
    "Tell me a story about a fox and a lantern.",
)


class Terminal:
    """A terminal of its own, in a tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-L", f"localfp4-{folder.name}", "-f", "/dev/null"]
        environment = {
            "LOCALFP4_CONFIG": str(folder / "config.toml"),
            "XDG_DATA_HOME": str(folder / "data"),
            "COLORTERM": "truecolor",
            "LC_ALL": "C.UTF-8",
        }
        variables = [part for item in environment.items() for part in ("-e", "=".join(item))]
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self.command("new-session", "-d", *size, *variables, "sh")
        self.command("set", "-g", "escape-time", "0")
        self.command("set", "-g", "status", "off")
        self.command("set", "-g", "default-terminal", "tmux-256color")

    def command(self, *arguments: str) -> str:
        """Give tmux a command, and return what it prints."""
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        """Press keys by their names in tmux."""
        self.command("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a line and send it."""
        self.command("send-keys", "-l", text)
        self.command("send-keys", "Enter")

    def leave(self, words: str) -> None:
        """Press Escape and wait until words are gone.

        What follows an Escape at once would be taken for a key with Alt.
        """
        self.press("Escape")
        time.sleep(0.5)
        self.wait_for(gone=words)

    def wait_for(self, *words: str, gone: str | None = None) -> None:
        """Wait until all words are on the screen, and others no more."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            shown = self.command("capture-pane", "-p")
            if all(word in shown for word in words) and (gone is None or gone not in shown):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"These never came: {words}; the screen shows\n{shown}")
            time.sleep(0.2)

    def picture(self, path: Path) -> None:
        """Draw the screen as it is once it has come to rest."""
        before, now = "", self.command("capture-pane", "-p", "-e", "-N")
        for _ in range(REST_TRIES):
            if now == before:
                break
            time.sleep(0.4)
            before, now = now, self.command("capture-pane", "-p", "-e", "-N")
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            console = Console(record=True, width=WIDTH, height=HEIGHT, file=nowhere)
            console.print(Text.from_ansi(now.rstrip("\n")), end="")
        path.write_text(console.export_svg(title="localfp4 chat", theme=DARK), encoding="utf-8")
        _draw_png(path)

    def close(self) -> None:
        """End the server and what runs in it."""
        self.command("kill-server")


def _draw_png(svg: Path) -> None:
    try:
        import cairosvg  # type: ignore[import-not-found]
    except ImportError:
        return
    png = svg.with_suffix(".png")
    drawing = svg.read_text(encoding="utf-8").replace("Fira Code", "DejaVu Sans Mono")
    drawing = TEXT_RUN.sub(_cell_by_cell, drawing)
    cairosvg.svg2png(bytestring=drawing.encode(), write_to=str(png), scale=1.2)


def _cell_by_cell(run: re.Match[str]) -> str:
    """Give every character of a run its place: a font that lacks some is narrower or wider."""
    before, start, between, length, after, text = run.groups()
    cells = len(html.unescape(text))
    width = float(length) / cells
    places = " ".join(f"{float(start) + width * cell:.1f}" for cell in range(cells))
    return f'{before}x="{places}"{between}{after}>{text}<'


def talk(terminal: Terminal, pictures: Path) -> None:
    """Go through the chat as somebody does who sees it for the first time."""

    def show(name: str, *words: str) -> None:
        terminal.wait_for(*words)
        terminal.picture(pictures / f"{name}.svg")

    def look(name: str, key: str, *words: str) -> None:
        terminal.press(key)
        show(name, *words)
        terminal.leave(words[0])

    terminal.type("localfp4 chat demo; exit")
    show("welcome", "is ready", "idle")
    for question in QUESTIONS:
        terminal.type(question)
        time.sleep(1.0)
        terminal.wait_for(question, "idle", gone="Esc stop")
    terminal.press("C-r")
    show("chat", "◂ 2/2 ▸", "idle")
    look("selected", "M-Up", "Esc back")
    look("palette", "C-p", "Search for commands")
    look("help", "F1", "Keys and commands")
    look("settings", "F2", "Settings of this chat")
    look("figures", "F3", "The last two minutes")
    look("picker", "C-o", "Models", "demo")
    look("sessions", "C-s", "Chats", "on the screen")
    terminal.type("/fit")
    show("fit", "tokens of context")
    terminal.leave("tokens of context")
    terminal.type("/heat on")
    terminal.press("C-r")
    terminal.wait_for("◂ 3/3 ▸", "idle")
    terminal.press("M-p")
    terminal.wait_for("next doubtful")
    terminal.press("n")
    show("heat", "next doubtful")
    terminal.leave("next doubtful")
    terminal.type(f"/compare demo {BF16}")
    terminal.wait_for("agree")
    terminal.wait_for("or 2 keep", gone="tok …")
    show("compare", "agree")
    terminal.leave("agree")
    terminal.wait_for("idle")
    terminal.type("/set top_p 7")
    show("error", "top_p must be above 0")
    terminal.press("C-q")


def main() -> None:
    """Run the conversation."""
    pictures = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).absolute()
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chat-") as folder:
        (Path(folder) / "config.toml").write_text(SETTINGS, encoding="utf-8")
        terminal = Terminal(Path(folder))
        try:
            talk(terminal, pictures)
        finally:
            terminal.close()


if __name__ == "__main__":
    main()
