"""What a server decides for itself when it starts."""

from pathlib import Path

import pytest

from localfp4.server.settings import ServerSettings


@pytest.mark.parametrize("model", ["demo", "org/name", "~nosuchuser/model", "/no/such/folder"])
def test_a_model_that_is_no_folder_is_called_as_the_user_calls_it(model: str) -> None:
    assert ServerSettings().name_of(model) == model


def test_a_folder_is_called_by_its_last_part_and_other_names_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert ServerSettings().names_of(str(folder)) == ("my-model",)
    assert ServerSettings(served_names=("a", "b")).names_of(str(folder)) == ("a", "b")
