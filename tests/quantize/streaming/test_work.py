"""The folder of a run: what is written is read again, whole, by one process at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from localfp4.errors import UserError
from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.packed_codes import tensors_of
from localfp4.quantize.streaming.work import WorkFolder, partial_folder


def codes(format: WeightFormat, *, divides: bool = True) -> Codes:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(5))
    return round_to_nearest(weight, format, Rounding("rtn", divides=divides))


def result(index: int = 3) -> LayerResult:
    q = Site(("model.layers.3.q", "model.layers.3.k"), (6, 2), 64)
    expert = Site(("model.layers.3.mlp.experts.7.up_proj",), (8,), 64, 7)
    return LayerResult(
        index,
        (
            QuantisedSite(q, codes("nvfp4"), 0.1 + 0.2, 32, 1e-3, None),
            QuantisedSite(q, codes("nvfp4", divides=False), None, 0, 0.0, None),
            QuantisedSite(expert, codes("mxfp4"), 3.0, 0, 0.5, "nobody asked"),
            QuantisedSite(expert, codes("fp8")),
        ),
        {"model.layers.3.norm.weight": torch.arange(4, dtype=torch.bfloat16)},
    )


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    written = result()
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        work.save(written)
        assert work.finished() == {3}
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        read, summary = work.load(3), work.summary(3)
    assert read.index == 3
    for one, other in zip(written.sites, read.sites, strict=True):
        assert one.site == other.site
        assert (one.input_amax, one.rotation, one.error, one.note) == (
            other.input_amax,
            other.rotation,
            other.error,
            other.note,
        )
        kind, tensors = tensors_of(one.codes)
        read_kind, read_tensors = tensors_of(other.codes)
        assert kind == read_kind
        assert tensors.keys() == read_tensors.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == read_tensors[name].dtype
            bits, read_bits = (
                t.contiguous().view(-1).view(torch.uint8) for t in (tensor, read_tensors[name])
            )
            assert torch.equal(bits, read_bits)
        assert torch.equal(one.codes.dequantised(), other.codes.dequantised())
    [(name, tensor)] = read.replaced.items()
    assert torch.equal(tensor, written.replaced[name])
    assert tensor.dtype == torch.bfloat16
    assert summary.replaced == (name,)
    assert [one["note"] for one in summary.sites] == [None, None, "nobody asked", None]


def test_what_was_not_written_to_the_end_does_not_count(tmp_path: Path) -> None:
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        work.save(result(0))
        half = work.folder / "layers" / "00001.tmp"
        half.write_bytes(b"half")
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        assert work.finished() == {0}
        assert not half.exists()


def test_a_run_belongs_to_what_it_was_begun_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    WorkFolder.open(out, "one").close()
    with pytest.raises(UserError, match="another model, other options"):
        WorkFolder.open(out, "two")
    with WorkFolder.open(out, "one") as work:
        assert work.folder == partial_folder(out) == tmp_path / "out.partial"


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "letter.txt").write_bytes(b"")
    with pytest.raises(UserError, match="another model, other options"):
        WorkFolder.open(tmp_path / "out", "digest")
    # Its lock is not held any more either.
    (tmp_path / "out.partial" / "letter.txt").unlink()
    WorkFolder.open(tmp_path / "out", "digest").close()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be made"):
        WorkFolder.open(tmp_path / "file" / "out", "digest")


def test_a_process_that_ended_right_away_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "lock").write_bytes(b"")
    (tmp_path / "out.partial" / "run.tmp").write_bytes(b'{"ver')
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        assert json.loads((work.folder / "run.json").read_bytes())["digest"] == "digest"


def test_damaged_results_are_one_sentence(tmp_path: Path) -> None:
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        work.save(result(0))
        path = work.folder / "layers" / "00000.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(UserError, match="delete it to do the layer again"):
            work.load(0)
        with pytest.raises(UserError, match="delete it to do the layer again"):
            work.summary(0)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with WorkFolder.open(tmp_path / "out", "digest") as work:
        monkeypatch.setattr("localfp4.quantize.streaming.work.write_layer", full)
        with pytest.raises(UserError, match=r"No space left.*layers that are done stay done"):
            work.save(result(0))
        assert work.finished() == frozenset()
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(UserError, match=r"mix\.json cannot be written: .*No space left"):
            work.write_text("mix.json", "{}")
        assert work.read_text("mix.json") is None
        assert not list(work.folder.rglob("*.tmp"))


def test_one_at_a_time_has_a_run(tmp_path: Path) -> None:
    with (
        WorkFolder.open(tmp_path / "out", "digest"),
        pytest.raises(UserError, match="Another process is writing"),
    ):
        WorkFolder.open(tmp_path / "out", "digest")
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        work.discard()
    assert not (tmp_path / "out.partial").exists()


def test_a_run_that_begins_is_not_taken_for_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that comes before anything is written must not delete the folder."""
    write_text = WorkFolder.write_text
    found = []

    def meanwhile(work: WorkFolder, name: str, text: str) -> None:
        monkeypatch.setattr(WorkFolder, "write_text", write_text)
        with pytest.raises(UserError, match="Another process is writing") as error:
            WorkFolder.open(tmp_path / "out", "digest")
        found.append(error)
        work.write_text(name, text)

    monkeypatch.setattr(WorkFolder, "write_text", meanwhile)
    with WorkFolder.open(tmp_path / "out", "digest") as work:
        assert (work.folder / "run.json").exists()
    assert found


@pytest.mark.slow
def test_another_process_cannot_have_it_either(tmp_path: Path) -> None:
    other = (
        "import sys; from pathlib import Path\n"
        "from localfp4.quantize.streaming.work import WorkFolder\n"
        "WorkFolder.open(Path(sys.argv[1]), 'digest')"
    )
    with WorkFolder.open(tmp_path / "out", "digest"):
        found = subprocess.run(
            [sys.executable, "-c", other, tmp_path / "out"], capture_output=True, check=False
        )
    assert found.returncode
    assert b"Another process is writing" in found.stderr
