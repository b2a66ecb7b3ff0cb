"""``localfp4 config``: the settings, what they are and where that comes from, and changing them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from localfp4.cli.config_listing import as_object, in_lines, spelled
from localfp4.cli.failure import remark
from localfp4.errors import UserError
from localfp4.settings.catalog import SETTINGS, Setting, meant_instead, setting_named
from localfp4.settings.change import replace_file, with_setting, without_setting
from localfp4.settings.file import file_text, settings_path
from localfp4.settings.listing import list_settings
from localfp4.settings.reader import read_text, sections_of
from localfp4.text.sanitize import sanitize

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _names(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    return [CompletionItem(one.key, help=one.help) for one in SETTINGS if one.key.startswith(typed)]


def _values(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    setting = setting_named(ctx.params.get("name") or "")
    choices = () if setting is None else setting.kind.choices
    return [CompletionItem(choice) for choice in choices if choice.startswith(typed)]


@click.group(invoke_without_command=True)
@_json_option
@click.pass_context
def config(ctx: click.Context, as_json: bool) -> None:
    """List, read and change settings.

    Without a command, all are listed with where they come from. The command line overrides them:
    those of [engine] hold for chat, run, serve and fit, those of [server] for serve.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json)


@config.command("list")
@_json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all settings, folders and variables."""
    before = ctx.parent.params["as_json"] if ctx.parent else False
    _list(as_json or before)


@config.command()
@click.argument("name", shell_complete=_names)
def get(name: str) -> None:
    """Print what a setting is, such as chat.model."""
    path, setting = settings_path(), _known(name)
    text = file_text(path)
    read_text(text or "", path)
    values = sections_of(text or "", path).get(setting.section, {})
    value = values.get(setting.name, setting.default)
    if value is None:
        remark(f"{name} is not set.")
        return
    for one in value if isinstance(value, list) else [value]:
        click.echo(sanitize(one if isinstance(one, str) else spelled(one)))


@config.command(context_settings={"ignore_unknown_options": True})  # -0.5 is a number
@click.argument("name", shell_complete=_names)
@click.argument("values", metavar="VALUE...", nargs=-1, required=True, shell_complete=_values)
def set(name: str, values: Sequence[str]) -> None:
    """Change a setting in the configuration file; comments and order stay.

    Lists take several values: localfp4 config set models.folders D:/models E:/more
    """
    path, setting = settings_path(), _known(name)
    value = _read(setting, values)
    replace_file(path, with_setting(_toml(path) or "", name, value))
    click.echo(sanitize(f"{name} = {spelled(value)} in {path}"), err=True)


@config.command()
@click.argument("name", shell_complete=_names)
def unset(name: str) -> None:
    """Take a setting out of the configuration file."""
    path = settings_path()
    text = _toml(path)
    left = None if text is None else without_setting(text, name)
    if left is None:
        if setting_named(name) is None:
            raise UserError(f"There is no setting {name}; {meant_instead(name)}")
        remark(f"{name} is not set in {path}.")
        return
    replace_file(path, left)
    click.echo(sanitize(f"took {name} out of {path}"), err=True)


@config.command()
def path() -> None:
    """Print where the configuration file is, or would be."""
    click.echo(sanitize(str(settings_path())))


@config.command()
def edit() -> None:
    """Open the configuration file in your editor, VISUAL or EDITOR; a new one explains all settings."""
    from localfp4_tui.editor import edit_file, editor_command  # click's starts no batch files

    path = settings_path()
    if not path.exists():
        from localfp4.settings.template import template

        replace_file(path, template())
    edit_file(path, editor_command(os.environ))
    read_text(file_text(path) or "", path)


def _list(as_json: bool) -> None:
    path = settings_path()
    text = file_text(path)
    settings = list_settings(text, path)
    if as_json:
        click.echo(as_object(settings, path))
    else:
        click.echo(sanitize("\n".join(in_lines(settings, path, is_there=text is not None))))


def _toml(path: Path) -> str | None:
    """Return the text of the file; ``None`` where there is none.

    Raises:
        SettingsError: It is not TOML, so that it can only be mended by hand.
    """
    text = file_text(path)
    sections_of(text or "", path)
    return text


def _known(name: str) -> Setting:
    """Return a setting.

    Raises:
        UserError: There is none of that name.
    """
    setting = setting_named(name)
    if setting is None:
        raise UserError(f"There is no setting {name}; {meant_instead(name)}")
    return setting


def _from_anywhere(setting: Setting, word: str) -> str:
    """Return a word that means the same wherever one stands: paths are made whole."""
    names_models = setting.section == "aliases" or setting.key in ("chat.model", "engine.draft")
    is_place = setting.key == "models.folders" and word.strip() and not word.startswith("~")
    is_path = names_models and word.startswith(("./", "../", f".{os.sep}", f"..{os.sep}"))
    return os.path.abspath(word) if is_place or is_path else word


def _read(setting: Setting, words: Sequence[str]) -> Any:
    """Return the value that words of the command line stand for.

    Raises:
        UserError: They stand for none that the setting may have.
    """
    kind = setting.kind
    if not kind.is_list and len(words) > 1:
        raise UserError(
            f"{setting.key} takes one value, not {len(words)}: put it into quotes if it has spaces."
        )
    words = [_from_anywhere(setting, word) for word in words]
    value = [kind.read(word) for word in words] if kind.is_list else kind.read(words[0])
    if not kind.accepts(value):
        raise UserError(f"{setting.key} cannot be {spelled(value)}; it must be {kind.wanted}.")
    return value
