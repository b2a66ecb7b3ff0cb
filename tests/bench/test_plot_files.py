"""Pictures as files; their data is tested in ``test_plot_panels.py``."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

import pytest

from localfp4.bench.plots.sheets import Sheet, sheets
from localfp4.bench.plots.study import study_figure
from localfp4.bench.plots.write import write_figures
from localfp4.bench.quality import Quality
from localfp4.bench.records import Row, Series
from localfp4.bench.workload import Case
from localfp4.documents.files import write_file
from localfp4.documents.pictures.canvas import Form, drawing
from localfp4.errors import UserError
from tests.bench.study_run import BATCH_SWEEP, ENVIRONMENT, MODEL, study_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABSURD = "org/A$Model_with^an{absurd}$name <b>&amp; 模型 \x1b[31m\u202e " + "x" * 200


@pytest.fixture(scope="module", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep matplotlib's cache of fonts out of the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        pytest.importorskip("matplotlib")
        yield


def quality(model: str, *formats: str) -> list[Quality]:
    return [Quality(model, name, "wikitext", "perplexity", 9.7, 0.05) for name in formats]


@pytest.fixture(scope="module")
def drawn(_own_settings: None) -> "tuple[Sheet, Figure]":
    (sheet,) = sheets([study_run()])
    with drawing():
        return sheet, study_figure(sheet)


def test_the_study_becomes_a_picture_of_six_panels(drawn: "tuple[Sheet, Figure]") -> None:
    sheet, figure = drawn
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "Time to first token (ms)",
        "Time per output token (ms)",
        "Throughput (tok/s)",
    ] * 2
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in panels]
    assert ticks[0] == ["1", "2", "4", "8", "16", "32", "64"]
    assert ticks[5] == ["128", "256", "512", "1024", "2048", "4096", "8192"]
    # A line and a limit each; crosses: one of 64 requests, and of 4096 and 8192 tokens 1 + 7.
    assert [len(axes.lines) for axes in panels] == [15, 15, 15, 22, 22, 22]
    values: list[Any] = [line.get_ydata() for line in panels[1].lines]
    assert [point.mean for point in sheet.panels[1].lines[0].points] in map(list, values)
    (series, signs) = figure.legends
    assert len(series.get_texts()) == 7
    assert [text.get_text() for text in signs.get_texts()] == ["limit of the device", "did not fit"]


def test_crosses_hang_above_every_point_of_their_size(drawn: "tuple[Sheet, Figure]") -> None:
    sheet, figure = drawn
    for axes, panel in zip(figure.axes, sheet.panels, strict=True):
        for size in {size for line in panel.lines for size in line.misfits}:
            hanging = sum(size in line.misfits for line in panel.lines)
            lowest = 0.97 - 0.06 * (hanging - 1)
            for point in [p for line in panel.lines for p in line.points if p.size == size]:
                top = max(point.mean, point.limit or 0)
                height = axes.transLimits.transform(axes.transScale.transform((0, top)))[1]
                assert height < lowest - 0.03


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_runs_make_the_same_files_whatever_the_users_settings(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    runs = [study_run(BATCH_SWEEP[:2], formats=("w4a16",), repeats=2)]
    first = write_figures(runs, tmp_path / "a", form, quality(MODEL, "w4a16"))
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        second = write_figures(runs, tmp_path / "b", form, quality(MODEL, "w4a16"))
        assert mpl.rcParams["font.size"] == 30
    assert [path.name for path in first] == [f"figure.{form}", f"quality.{form}"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted((tmp_path / "a").iterdir()) == list(first)
    if form == "svg":
        assert Xml.parse(first[0]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert b"dc:date" not in first[0].read_bytes()


def test_each_device_has_a_picture_and_odd_names_are_survived(tmp_path: Path) -> None:
    single = study_run((Case(1, 64, 8), Case(1, 64, 1)), formats=("w4a16",), model=ABSURD)
    rows = (*single.rows, Row(Series("other", "bf16"), Case(1, 64, 8), 0, "missing", "not here"))
    devices = [replace(ENVIRONMENT, gpu=name) for name in ("A", "B" * 200)]
    runs = [
        replace(single, rows=rows, environment=devices[0]),
        replace(study_run((Case(2, 64, 8),), repeats=1), environment=devices[1]),
    ]
    paths = write_figures(runs, tmp_path, "svg", quality(ABSURD, "w4a16"))
    assert [path.name for path in paths] == ["figure.svg", "figure-2.svg", "quality.svg"]
    for path in paths:
        Xml.parse(path)


def test_nothing_but_drawing_imports_matplotlib_and_nothing_torch() -> None:
    program = (
        "import sys; from localfp4.bench.plots import terminal, write; "
        "from localfp4.bench import quality; from localfp4.bench.sharing import card; "
        "assert not {'matplotlib', 'numpy', 'torch'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'localfp4\[plots\]'"):
        write_figures([study_run(BATCH_SWEEP[:1])], tmp_path / "new", "png")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "figure.png", b"before")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"figure\.png failed: No space left on device; choose"):
        write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_to_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"Writing .*card\.svg failed"):
        write_file(tmp_path / "file" / "card.svg", b"")

    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(UserError, match="Permission denied"):
        write_file(tmp_path / "card.svg", b"")


def test_a_picture_replaces_a_folder_never(tmp_path: Path) -> None:
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(UserError, match=r"figure\.png failed"):
        write_file(tmp_path / "figure.png", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
