"""Reading pieces of files, with and without threads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localfp4.checkpoint import byte_reader
from localfp4.checkpoint.byte_reader import ByteReader, Piece


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[ByteReader]:
    monkeypatch.setattr(byte_reader, "PIECE_BYTES", 10)
    opened = ByteReader()
    yield opened
    opened.close()
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    return path


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 99, 150])
def test_every_byte_arrives_at_its_place(reader: ByteReader, file: Path, size: int) -> None:
    buffer = bytearray(size)
    assert reader.fill(Piece(memoryview(buffer), file, 50))
    assert bytes(buffer) == bytes(range(50, 50 + size))


@pytest.mark.parametrize("size", [5, 60])
def test_a_file_that_is_too_short_is_told(reader: ByteReader, file: Path, size: int) -> None:
    short = Piece(memoryview(bytearray(size)), file, 200 - size + 1)
    assert not reader.fill(short)
    whole = Piece(memoryview(bytearray(size)), file, 0)
    assert not reader.begin([whole, short, whole]).finish()


@pytest.mark.parametrize("size", [5, 60])
def test_a_missing_file_is_an_error(reader: ByteReader, tmp_path: Path, size: int) -> None:
    with pytest.raises(FileNotFoundError):
        reader.fill(Piece(memoryview(bytearray(size)), tmp_path / "none", 0))


def test_pieces_of_several_files_are_filled_together(reader: ByteReader, tmp_path: Path) -> None:
    """Sizes around that of a job: some share one, some are divided."""
    sizes = [3, 4, 0, 3, 1, 10, 11, 25, 9, 2, 30]
    buffers = [bytearray(size) for size in sizes]
    pieces = []
    for number, buffer in enumerate(buffers):
        path = tmp_path / f"file{number % 3}"
        path.write_bytes(bytes(range(number % 3, 200)))
        pieces.append(Piece(memoryview(buffer), path, 5 * number))
    assert reader.begin(pieces).finish()
    for number, (buffer, size) in enumerate(zip(buffers, sizes, strict=True)):
        first = number % 3 + 5 * number
        assert bytes(buffer) == bytes(range(first, first + size))


def test_nothing_to_read_is_read(reader: ByteReader) -> None:
    assert reader.begin([]).finish()
