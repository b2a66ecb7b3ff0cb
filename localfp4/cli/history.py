"""``localfp4 history``: the conversations that were kept, without a model."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from localfp4.cli.completing.values import conversation_ids
from localfp4.cli.failure import remark
from localfp4.cli.history_file import history_path, open_history
from localfp4.errors import UserError
from localfp4.history.export import as_json, as_markdown, write_new
from localfp4.history.turns import Match, SavedConversation, Summary
from localfp4.text.sanitize import sanitize

_SPEAKERS = {"user": "you", "assistant": "model", "summary": "summary"}
_FORMATS = {"md": as_markdown, "json": as_json}

_number_option = click.option(
    "-n",
    "number",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many to print at most.",
)
_json_option = click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
_id_argument = click.argument(
    "conversation", metavar="ID", type=int, shell_complete=conversation_ids
)


@click.group(invoke_without_command=True)
@_number_option
@_json_option
@click.pass_context
def history(ctx: click.Context, number: int, as_object: bool) -> None:
    """List, search, show, rename, export and delete conversations.

    Without a command, the newest conversations are listed. Go on with one by
    localfp4 chat --resume ID.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = _recent(number)
    if as_object:
        click.echo(json.dumps({"conversations": [asdict(summary) for summary in found]}))
    elif found:
        click.echo("\n".join(_table(found)))
    else:
        remark("there are no conversations yet; localfp4 chat begins one.")


@history.command()
@click.argument("words", nargs=-1, required=True)
@_number_option
@_json_option
def search(words: Sequence[str], number: int, as_object: bool) -> None:
    """Find what was said: turns that hold all WORDS, the best first.

    The last word may be the beginning of one.
    """
    text = " ".join(words)
    found: list[Match] = []
    if history_path().exists():
        with open_history() as kept:
            found = kept.search(text, number)
    if as_object:
        click.echo(json.dumps({"matches": [asdict(match) for match in found]}))
    elif found:
        click.echo("\n\n".join(_found_lines(match) for match in found))
    else:
        remark(f"no conversation holds “{text}”.")


@history.command()
@_id_argument
def show(conversation: int) -> None:
    """Print a conversation as Markdown."""
    click.echo(sanitize(as_markdown(_load(conversation))), nl=False)


@history.command()
@_id_argument
@click.option("--format", "form", type=click.Choice(list(_FORMATS)), default="md")
@click.option("--out", type=click.Path(path_type=Path), help="A new file, instead of printing.")
def export(conversation: int, form: str, out: Path | None) -> None:
    """Write a conversation as a document.

    Markdown has what was on the screen last, JSON has every turn of every branch.
    """
    document = sanitize(_FORMATS[form](_load(conversation)))
    if out is None:
        click.echo(document, nl=False)
        return
    try:
        write_new(out, document)
    except FileExistsError as error:
        raise UserError(f"{out} exists already; choose another --out.") from error
    except (OSError, ValueError) as error:  # a ValueError is about the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{out} cannot be written ({reason}); choose another --out.") from error
    click.echo(f"wrote {sanitize(str(out))}", err=True)


@history.command()
@_id_argument
@click.argument("words", metavar="TITLE", nargs=-1, required=True)
def rename(conversation: int, words: Sequence[str]) -> None:
    """Give a conversation another title."""
    title = " ".join(sanitize(" ".join(words)).split())
    if not title:
        raise UserError("A title has a letter at least; localfp4 history rename 3 Fit of the 4070.")
    _load(conversation)  # says that there is none before a file is made
    with open_history() as kept:
        kept.rename(conversation, title)
    click.echo(f"renamed conversation {conversation} to “{title}”", err=True)


@history.command()
@click.argument(
    "conversations", metavar="ID...", nargs=-1, type=int, shell_complete=conversation_ids
)
@click.option("--all", "everything", is_flag=True, help="Delete all conversations.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(conversations: Sequence[int], everything: bool, yes: bool) -> None:
    """Delete conversations for good."""
    if bool(conversations) == everything:
        raise UserError("Name the conversations to delete by their ids, or say --all.")
    if everything:
        doomed = {summary.id: _title(summary.title) for summary in _recent(-1)}
    else:  # all are there, or none is deleted
        doomed = {id_: _name(_load(id_)) for id_ in dict.fromkeys(conversations)}
    if not doomed:
        remark("there are no conversations.")
        return
    if not yes and not _confirmed([*doomed.values()]):
        remark("nothing was deleted.")
        return
    with open_history() as kept:
        for id_ in doomed:
            kept.delete(id_)
    click.echo(f"deleted {_count(len(doomed))}", err=True)


@history.command()
def path() -> None:
    """Print where the conversations are kept."""
    click.echo(str(history_path()))


def _recent(number: int) -> list[Summary]:
    if not history_path().exists():
        return []
    with open_history() as kept:
        return kept.recent(number)


def _load(conversation: int) -> SavedConversation:
    if not history_path().exists():
        raise UserError(f"There is no conversation {conversation}; none has been kept yet.")
    with open_history() as kept:
        return kept.load(conversation)


def _confirmed(titles: Sequence[str]) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("Nobody can be asked whether to delete for good; say --yes.")
    shown = ", ".join(f"“{title}”" for title in titles[:3])
    rest = f" and {len(titles) - 3} more" if len(titles) > 3 else ""
    return click.confirm(f"Delete {_count(len(titles))} ({shown}{rest}) for good?")


def _name(conversation: SavedConversation) -> str:
    question = next((turn.content for turn in conversation.turns if turn.role == "user"), "")
    return _title(conversation.title or question)


def _title(text: str) -> str:
    return " ".join(sanitize(text).split())[:40]


def _table(found: Sequence[Summary]) -> list[str]:
    rows = [("id", "when", "turns", "model", "title")]
    rows += [
        (str(s.id), _when(s), str(s.turns), _short(sanitize(s.model), 28), sanitize(s.title))
        for s in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for id_, when, turns, model, title in rows:
        cells = (
            id_.rjust(widths[0]),
            when.ljust(widths[1]),
            turns.rjust(widths[2]),
            model.ljust(widths[3]),
        )
        lines.append("  ".join((*cells, title)))
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [_short(line, width) for line in lines]
    return lines


def _found_lines(match: Match) -> str:
    summary = match.summary
    head = f"{summary.id}  {_when(summary)}  {sanitize(summary.title)}"
    excerpt = sanitize(match.excerpt)
    if sys.stdout.isatty():
        head = click.style(head, dim=True)
        for start, end in reversed(match.found):
            word = click.style(excerpt[start:end], bold=True, reverse=True)
            excerpt = excerpt[:start] + word + excerpt[end:]
    return f"{head}\n    {_SPEAKERS[match.role]}: {excerpt}"


def _when(summary: Summary) -> str:
    """Return the time of the last change on the user's clock."""
    utc = datetime.fromisoformat(summary.updated_at).replace(tzinfo=UTC)
    return utc.astimezone().strftime("%Y-%m-%d %H:%M")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _count(number: int) -> str:
    return "1 conversation" if number == 1 else f"{number} conversations"
