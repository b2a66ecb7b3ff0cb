"""The configuration file: what it may say, and the sentence for everything else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.settings import PATH_VARIABLE, Settings, SettingsError, read_settings, settings_path

WHOLE = """
[keys]
"chat.new" = "ctrl+b"
chat.stop = ["escape", "f4"]

[chat]
theme = "light"
system = "Be brief."
thinking = false
reasoning_effort = "low"
model = "qwen3:8b"
ephemeral = true

[sampling]
temperature = 0.3
top_k = 40
presence_penalty = 0.5

[models]
folders = ["~/models", "/data/models", "here"]

[aliases]
mine = "./my-model"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    return path


def test_everything_is_read(file: Path) -> None:
    file.write_text(WHOLE, encoding="utf-8")
    assert read_settings() == Settings(
        keys={"chat.new": "ctrl+b", "chat.stop": "escape,f4"},
        theme="light",
        system="Be brief.",
        thinking=False,
        reasoning_effort="low",
        model="qwen3:8b",
        ephemeral=True,
        sampling={"temperature": 0.3, "top_k": 40, "presence_penalty": 0.5},
        folders=(Path.home() / "models", Path("/data/models").absolute(), file.parent / "here"),
        aliases={"mine": "./my-model"},
        path=file,
    )


def test_an_empty_file_and_a_windows_editor(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    assert read_settings() == Settings(path=file)
    file.write_bytes(b'\xef\xbb\xbf[chat]\r\nthinking = "auto"\r\ntheme = "dark"\r\n')
    assert read_settings() == Settings(theme="dark", path=file)


def test_without_a_file_everything_is_as_the_program_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path / "none")
    assert settings_path() == tmp_path / "none" / "config.toml"
    assert read_settings() == Settings()
    monkeypatch.setenv(PATH_VARIABLE, "")
    assert read_settings() == Settings()


WRONG = {
    "[chat": "is not TOML: Expected ']' at the end of a table declaration",
    "[chat]\nsystem 3\n": "(at line 2, column 8); mend that place.",
    '[chat]\nsystem = "never closed\n': "at line 2, column",
    f"[sampling]\nseed = {'9' * 5000}\n": "is not TOML",
    "[chats]\n": "has [chats], which means nothing; did you mean chat?",
    "[wallpaper]\n": "there are keys, chat, sampling, models, aliases, engine, server.",
    "chat = 3\n": "write it as a section, [chat]",
    "[chat]\ntemprature = 1\n": "has temprature in [chat], which means nothing; there are theme,",
    "[sampling]\ntemprature = 1\n": "which means nothing; did you mean temperature?",
    "[chat]\nephemeral = 1\n": "has ephemeral = 1 in [chat]; it must be true or false.",
    "[chat]\nthinking = 'often'\n": 'it must be true, false or "auto".',
    "[chat]\ntheme = true\n": "has theme = True in [chat]; it must be text in quotes.",
    "[chat]\nreasoning_effort = 'lots'\n": 'must be "low" or "medium" or "high".',
    "[sampling]\ntop_p = 2\n": "has in [sampling]: top_p must be above 0 and at most 1, not 2.",
    "[sampling]\nmax_tokens = 0\n": "has in [sampling]: max_tokens must be at least 1, not 0.",
    "[sampling]\ntop_k = 'all'\n": "top_k must be a whole number, not 'all'.",
    "[sampling]\nstop = ['x']\n": "has stop in [sampling], which means nothing",
    "[models]\nfolders = 'D:/models'\n": 'must be a list of folders, ["D:/models"].',
    "[models]\nfolders = [1]\n": "must be a list of folders",
    "[aliases]\nmine = 3\n": "has mine = 3 in [aliases]; it must be a model",
    "[keys]\n'chat.new' = 3\n": "has chat.new = 3 in [keys]; it must be a key",
    "[keys]\nchat.new = []\n": "it must be a key",
    "[keys]\nchat.new.more = 'x'\n": "it must be a key",
    f"[engine]\nvram_limit = 1{400 * '0'}\n": "it must be a number above 0",
    f"[server]\nqueue = 1{400 * '0'}\n": "it must be a whole number of at least 0.",
    "[engine]\nthreads = 2000\n": "it must be a whole number from 1 to 1024",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_a_slip_is_one_sentence_that_names_the_file(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    sentence = str(caught.value)
    assert sentence.startswith(str(file))
    assert WRONG[text] in sentence
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no configuration file .*; create it"):
        read_settings()
    file.write_bytes(b"[chat]\nsystem = '\xe9'\n")
    with pytest.raises(SettingsError, match=r"is not UTF-8 text \(byte 18\)"):
        read_settings()
    file.write_text("[keys]\na" + ".a" * 3000 + " = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError):
        read_settings()
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings()


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: content)
        patch.setenv(PATH_VARIABLE, "config.toml")
        try:
            assert read_settings().path == Path("config.toml")
        except SettingsError:
            return


def test_a_user_that_does_not_exist_is_part_of_a_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[models]\nfolders = ["~nosuchuser/models"]\n', encoding="utf-8")
    assert read_settings().folders == (file.parent / "~nosuchuser" / "models",)
    monkeypatch.setenv(PATH_VARIABLE, "~nosuchuser/config.toml")
    with pytest.raises(SettingsError, match="There is no configuration file ~nosuchuser"):
        read_settings()
