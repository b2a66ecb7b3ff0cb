"""Calibration text in Parquet files."""

import sys
from pathlib import Path

import pytest

from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.documents import Chat
from localfp4.quantize.calibration.files import documents_of


@pytest.mark.slow
def test_rows_are_documents(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    turns = [[{"role": "user", "content": f"question {n}"}] for n in range(600)]
    path = tmp_path / "train.parquet"
    parquet.write_table(pyarrow.table({"messages": turns, "id": list(range(600))}), path)
    assert list(documents_of(path)) == [Chat(tuple(one)) for one in turns]
    parquet.write_table(pyarrow.table({"text": ["one", "two"]}), path)
    assert list(documents_of(path)) == ["one", "two"]
    parquet.write_table(pyarrow.table({"score": [1.5]}), path)
    with pytest.raises(CalibrationError, match="no text that is known: only score"):
        list(documents_of(path))
    path.write_bytes(b"PAR1")
    with pytest.raises(CalibrationError, match="not a sound Parquet file"):
        list(documents_of(path))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CalibrationError, match="needs pyarrow: `pip install pyarrow`"):
        list(documents_of(tmp_path / "train.parquet"))
