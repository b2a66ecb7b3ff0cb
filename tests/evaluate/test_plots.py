import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localfp4.documents.pictures.canvas import Form
from localfp4.errors import EvaluationError, UserError
from localfp4.evaluate.plots.panels import Bars, Curves, panels
from localfp4.evaluate.plots.write import write_figure
from localfp4.evaluate.records import Evaluation, Result
from tests.evaluate.study import study


def test_panels_show_the_distance_from_the_reference() -> None:
    curves, ratio, kl, other, piqa = panels(study())
    assert isinstance(curves, Curves)
    assert [*curves.lines] == [1, 2]
    assert curves.lines[1][0] == (0.5, 0.0152)
    assert curves.lines[2][-1] == (0.999, 2.914)
    assert isinstance(ratio, Bars)
    assert [round(bar.value, 2) for bar in ratio.bars] == [2.44, 6.66]
    assert ratio.bars[0].stderr == pytest.approx(0.21)
    assert isinstance(kl, Bars)
    assert [bar.value for bar in kl.bars] == [0.0411, 0.1031]
    assert isinstance(other, Bars)
    assert [round(bar.value, 2) for bar in other.bars] == [7.87, 12.79]
    assert isinstance(piqa, Bars)
    assert [round(bar.value, 1) for bar in piqa.bars] == [70.0, 68.0, 60.5]


def test_a_model_alone_has_its_perplexity() -> None:
    (alone,) = panels(Evaluation((Result("m", "bf16", "t", "perplexity", 7.5, 0.1),)))
    assert isinstance(alone, Bars)
    assert (alone.title, alone.bars[0].value) == ("t · perplexity", 7.5)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_a_figure_is_the_same_each_time(tmp_path: Path, form: Form) -> None:
    first = write_figure(study(), tmp_path / f"a.{form}", form).read_bytes()
    second = write_figure(study(), tmp_path / f"b.{form}", form).read_bytes()
    assert first == second
    if form == "png":
        assert struct.unpack(">I", first[16:20]) == (1680,)
    else:
        text = first.decode()
        assert "of all tokens diverge by no more" in text
        assert "wikitext · mean KL divergence (nats)" in text


def test_better_than_the_reference_and_no_divergence_can_be_drawn(tmp_path: Path) -> None:
    lucky = tuple(
        replace(one, value=0.0)
        if one.metric.startswith("kl_")
        else replace(one, value=0.99)
        if one.metric == "perplexity_ratio"
        else one
        for one in study().results
    )
    assert write_figure(replace(study(), results=lucky), tmp_path / "a.png", "png").stat().st_size


def test_nothing_to_draw_and_no_library_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EvaluationError, match="Nothing that was evaluated can be drawn; leave"):
        write_figure(Evaluation(), tmp_path / "a.png", "png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'localfp4\[plots\]', or leave --plot out"):
        write_figure(study(), tmp_path / "a.png", "png")
    assert not [*tmp_path.iterdir()]
