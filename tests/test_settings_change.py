"""Changing a configuration file, the lines that settings stand on, and the table of all settings."""

import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.cli.from_settings import FromSettings
from localfp4.cli.serve.command import serve
from localfp4.settings import Settings, SettingsError
from localfp4.settings.catalog import SETTINGS, Setting, section_settings, setting_named
from localfp4.settings.change import replace_file, with_setting, without_setting
from localfp4.settings.lines import line_numbers
from localfp4.settings.reader import read_text
from localfp4.settings.template import template

WRITTEN = """\
# mine

[keys]
chat.new = "ctrl+b"  # like my editor
"chat.stop" = ["escape",
  "f4"]

[aliases]   # names
qwen3.5 = "org/model"

[chat]
system = \'\'\'
[engine]
ctx = 1
\'\'\'
theme = "dark"
"""


def test_what_stands_around_a_setting_stays() -> None:
    changed = with_setting(WRITTEN, "chat.theme", "light")
    assert changed == WRITTEN.replace('"dark"', '"light"')
    changed = with_setting(changed, "keys.chat.new", "f5")
    assert 'chat.new = "f5"  # like my editor' in changed
    changed = with_setting(changed, "aliases.qwen3.5", "other")
    assert 'qwen3.5 = "other"' in changed
    changed = with_setting(changed, "engine.ctx", 8192)
    assert changed.endswith('theme = "light"\n\n[engine]\nctx = 8192\n')
    changed = with_setting(changed, "aliases.llama3.1", "x")
    read = read_text(changed, Path("config.toml"))
    assert read.keys == {"chat.new": "f5", "chat.stop": "escape,f4"}
    assert read.aliases == {"qwen3.5": "other", "llama3.1": "x"}
    assert read.engine == {"ctx": 8192}


def test_a_setting_is_taken_out() -> None:
    assert without_setting(WRITTEN, "chat.theme") == WRITTEN.replace('theme = "dark"\n', "")
    left = without_setting(WRITTEN, "keys.chat.new")
    assert left is not None
    assert "ctrl+b" not in left
    assert without_setting(WRITTEN, "chat.model") is None
    assert without_setting(WRITTEN, "server.port") is None
    assert without_setting("chats = 3\n", "chats") == ""
    assert without_setting("chat = 3\n", "chat.theme") is None


def test_ends_of_lines_of_windows_stay() -> None:
    windows = WRITTEN.replace("\n", "\r\n")
    for text in (with_setting(windows, "engine.ctx", 1), without_setting(windows, "chat.theme")):
        assert text is not None
        assert text.count("\n") == text.count("\r\n") > 0


def test_a_section_that_is_a_value_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"has chat as a value; `localfp4 config unset chat`"):
        with_setting("chat = 3\n", "chat.theme", "dark")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from(SETTINGS), unique_by=lambda one: one.key, max_size=8),
    st.lists(st.sampled_from(SETTINGS), max_size=8),
)
def test_any_changes_one_after_the_other_are_read_back(
    set_: list[Setting], unset: list[Setting]
) -> None:
    text, expected = WRITTEN, tomllib.loads(WRITTEN)
    for setting in set_:
        text = with_setting(text, setting.key, "v")
        expected.setdefault(setting.section, {})[setting.name] = "v"
    for setting in unset:
        left = without_setting(text, setting.key)
        was_there = expected.get(setting.section, {}).pop(setting.name, None)
        assert (left is None) == (was_there is None)
        text = text if left is None else left
    found = tomllib.loads(text)
    assert {name: content for name, content in found.items() if content} == {
        name: content for name, content in expected.items() if content
    }
    assert "# like my editor" in text


def test_lines_are_those_that_settings_begin_on() -> None:
    assert line_numbers(WRITTEN) == {
        "keys.chat.new": 4,
        "keys.chat.stop": 5,
        "aliases.qwen3.5": 9,
        "chat.system": 12,
        "chat.theme": 16,
    }
    assert line_numbers('chat = { theme = "x" }\r\n\r\nengine.ctx = 3') == {
        "chat.theme": 1,
        "engine.ctx": 3,
    }


def test_long_texts_and_lists_are_not_tried_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, folders = "a line [of] it\n" * 500, '  "D:/models",\n' * 500
    text = f'[chat]\nsystem = """\n{prompt}"""\n[models]\nfolders = [\n{folders}]\n[server]\nport = 1\n'
    read: list[str] = []

    def loads(said: str) -> dict[str, object]:
        read.append(said)
        return parse(said)

    parse = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", loads)
    found = line_numbers(text)
    assert found == {"chat.system": 2, "models.folders": 505, "server.port": 1008}
    assert len(read) < 20


def test_the_template_says_nothing_and_every_line_of_it_can_be_said() -> None:
    path = Path("config.toml")
    assert read_text(template(), path) == Settings(path=path)
    said = re.sub(r"(?m)^# (\w+ = )", r"\1", template())
    assert line_numbers(said).keys() == {setting.key for setting in SETTINGS}
    read_text(said, path)


@pytest.mark.parametrize("section", ["engine", "server"])
def test_settings_are_options_of_the_same_name_and_choices(section: str) -> None:
    options = {
        one.name: one
        for one in serve.params
        if isinstance(one, FromSettings) and one.key == f"{section}.{one.name}"
    }
    known = section_settings(section)
    assert options.keys() == known.keys()
    for name, setting in known.items():
        choices = getattr(options[name].type, "choices", None)
        if choices is not None:
            assert setting.kind.choices == tuple(choices)
        for value in (setting.default, *setting.kind.choices):
            if value is not None:
                options[name].type_cast_value(None, setting.kind.read(str(value)))  # type: ignore[arg-type]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "localfp4.toml", tmp_path / "home" / "config.toml"
    replace_file(real, '[chat]\ntheme = "dark"\n')
    if os.name == "posix":
        assert stat.S_IMODE(real.stat().st_mode) == 0o600
        real.chmod(0o640)
    link.parent.mkdir()
    link.symlink_to(real)
    real.write_bytes(b"\xef\xbb\xbf" + real.read_bytes())
    replace_file(link, '[chat]\ntheme = "light"\n')
    assert link.is_symlink()
    assert real.read_bytes() == b'\xef\xbb\xbf[chat]\ntheme = "light"\n'
    if os.name == "posix":
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
    with pytest.raises(SettingsError, match="means nothing"):
        replace_file(link, "[chat]\nthem = 3\n")
    assert real.read_bytes().endswith(b'"light"\n')
    assert [one.name for one in real.parent.iterdir()] == [real.name]
    with pytest.raises(SettingsError, match=r"cannot be written \(.*\); nothing was changed"):
        replace_file(real / "config.toml", "")


def test_what_users_name_themselves_is_a_setting() -> None:
    alias = setting_named("aliases.qwen3.5:4b")
    assert alias is not None
    assert alias.name == "qwen3.5:4b"
    assert setting_named("aliases.") is None
    assert setting_named("nothing.at.all") is None
