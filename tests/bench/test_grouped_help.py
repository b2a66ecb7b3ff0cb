"""The help of the commands that have more options than a screen has lines."""

import re

import click
import pytest
from click.testing import CliRunner

from localfp4.cli.bench.measure import measure
from localfp4.cli.bench.peers import peers


def sections(command: click.Command) -> dict[str, str]:
    text = CliRunner().invoke(command, ["--help"]).output.partition("Presets:")[0]
    found = re.split(r"^(\S.*):\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("command", [measure, peers])
def test_every_option_stands_once_below_one_heading(command: click.Command) -> None:
    text = "".join(sections(command).values())
    for option in command.params:
        if isinstance(option, click.Option):
            assert (
                len(re.findall(rf"^  (-\w, )?{option.opts[-1]}(?![\w-])", text, re.MULTILINE)) == 1
            )


def test_headings_hold_what_they_say() -> None:
    found = sections(measure)
    assert [*found][:5] == [
        "What is measured",
        "How it is measured",
        "Results",
        "Instead of measuring",
        "How the model runs",
    ]
    assert "--preset" in found["What is measured"]
    assert "--price-hour" in found["Results"]
    assert "--device" in found["How the model runs"]
    assert "Instead of measuring" not in sections(peers)
