import json
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4.checkpoint import read_ahead
from localfp4.checkpoint.byte_reader import ByteReader
from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.read_ahead import ReadAhead
from localfp4.checkpoint.reader import OutlineReader, TensorReader
from localfp4.errors import CheckpointError, UnsupportedModelError


@pytest.mark.parametrize("name", ["m_qwen3", "ct_qwen3_moe_NVFP4", "mo_qwen3_NVFP4_DEFAULT_CFG"])
def test_every_tensor_reads_as_the_safetensors_library_reads_it(fixtures: Path, name: str) -> None:
    checkpoint = open_checkpoint(fixtures / name)
    expected = load_file(fixtures / name / "model.safetensors")
    with TensorReader(checkpoint) as reader:
        for tensor_name, tensor in expected.items():
            found = reader.read(tensor_name)
            assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(raw_bytes(found), raw_bytes(tensor))
        assert reader.bytes_read == checkpoint.total_bytes


def raw_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.int8,
        torch.uint16,
        torch.int16,
        torch.uint32,
        torch.int32,
        torch.uint64,
        torch.int64,
        torch.float8_e5m2,
        torch.float8_e8m0fnu,
        torch.float16,
        torch.bfloat16,
        torch.float64,
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0)])
def test_every_dtype_and_shape_reads_back(
    tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    size = torch.empty(shape).numel() * dtype.itemsize
    content = torch.arange(size, dtype=torch.uint8).remainder(2).view(dtype).reshape(shape)
    save_file({"odd": torch.zeros(1, dtype=torch.uint8), "t": content}, tmp_path / "x.safetensors")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with TensorReader(open_checkpoint(tmp_path)) as reader:
        found = reader.read("t")
    assert (found.dtype, found.shape) == (dtype, shape)
    assert torch.equal(raw_bytes(found), raw_bytes(content))


def test_half_bytes_read_as_packed_bytes(make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint({"t": ("F4", [2, 4])}, values={"t": b"\x21\x43\x65\x87"})
    with TensorReader(checkpoint) as reader:
        assert reader.read("t").tolist() == [[0x21, 0x43], [0x65, 0x87]]


@pytest.mark.parametrize("limits", [(1, 1), (3000, 1000), (2**20, 2**20)])
@pytest.mark.parametrize("order", ["as asked", "backwards", "some, twice, and unknown ones"])
def test_what_was_read_ahead_is_what_is_read(
    fixtures: Path, order: str, limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", limits[0])
    monkeypatch.setattr(read_ahead, "_BATCH_BYTES", limits[1])
    checkpoint = open_checkpoint(fixtures / "mo_qwen3_NVFP4_DEFAULT_CFG")
    expected = load_file(checkpoint.folder / "model.safetensors")
    names = list(expected)
    ahead = {
        "as asked": names,
        "backwards": names[::-1],
        "some, twice, and unknown ones": [*names[::2], "unknown", *names[::2]],
    }
    with TensorReader(checkpoint) as reader:
        reader.read_ahead(ahead[order], torch.device("cpu"))
        for name in [*names, names[0]]:
            assert torch.equal(raw_bytes(reader.read(name)), raw_bytes(expected[name]))
        assert reader.bytes_read == checkpoint.total_bytes + checkpoint.tensors[names[0]].nbytes


def test_no_more_is_read_ahead_than_allowed(
    make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 300)
    monkeypatch.setattr(read_ahead, "_BATCH_BYTES", 100)
    sizes = [50, 50, 200, 50, 1000, 50, 0, 50, 50]
    checkpoint = make_checkpoint({f"t{n}": ("U8", [size]) for n, size in enumerate(sizes)})
    with closing(ByteReader()) as files:
        ahead = ReadAhead(files, checkpoint.tensors.values(), page_locked=False)
        begun = []
        for number, size in enumerate(sizes):
            begun.append([int(name[1:]) for name in ahead._begun])
            found = ahead.take(f"t{number}")
            assert found is not None
            assert found.nbytes == size
    assert begun[:3] == [[0, 1, 2], [1, 2, 3, 4], [2, 3, 4]]
    assert begun[4] == [4]
    assert begun[5] == [5, 6, 7, 8]


def test_memory_that_cannot_be_locked_is_no_obstacle(
    make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a container or WSL allows little of it; here there is no GPU to lock it for."""
    contents = {f"t{n}": bytes([n]) * (2**20 + n) for n in range(3)}
    specs = {name: ("U8", [len(content)]) for name, content in contents.items()}
    checkpoint = make_checkpoint(specs, values=contents)
    asked: list[bool] = []
    empty = torch.empty

    def refusing(*size: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        asked.append(pin_memory)
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", refusing)
    with closing(ByteReader()) as files:
        ahead = ReadAhead(files, checkpoint.tensors.values(), page_locked=True)
        for name, content in contents.items():
            data = ahead.take(name)
            assert data is not None
            assert data.numpy().tobytes() == content
    assert asked.count(True) == 1


def test_the_tensor_at_fault_is_named_though_others_were_begun_with_it(
    make_checkpoint: Any,
) -> None:
    checkpoint = make_checkpoint({"t": ("U8", [100]), "u": ("U8", [100])}, values={"t": b"t" * 100})
    with (checkpoint.folder / "model.safetensors").open("r+b") as file:
        file.truncate(checkpoint.tensors["u"].end - 50)
    with TensorReader(checkpoint) as reader:
        reader.read_ahead(["t", "u"], torch.device("cpu"))
        assert raw_bytes(reader.read("t")).numpy().tobytes() == b"t" * 100
        with pytest.raises(CheckpointError, match="ended inside tensor u"):
            reader.read("u")


def test_files_that_go_away_before_they_are_read_ahead_are_noticed(make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint({"t": ("U8", [100])})
    (checkpoint.folder / "model.safetensors").unlink()
    with TensorReader(checkpoint) as reader:
        reader.read_ahead(["t"], torch.device("cpu"))
        with pytest.raises(CheckpointError, match="cannot be read: No such file"):
            reader.read("t")


def test_an_outline_notes_the_order_of_what_it_was_asked_for(fixtures: Path) -> None:
    with OutlineReader(open_checkpoint(fixtures / "m_qwen3")) as reader:
        asked = list(reader.checkpoint.tensors)[3:0:-1]
        reader.read(asked[0])
        reader.values(asked[1])
        reader.read(asked[2])
        assert reader.names == asked


def test_a_missing_tensor_is_named(fixtures: Path) -> None:
    with (
        TensorReader(open_checkpoint(fixtures / "m_qwen3")) as reader,
        pytest.raises(CheckpointError, match=r"m_qwen3 has no tensor lm_head\.weight\.$"),
    ):
        reader.read("lm_head.weight")


def test_a_dtype_torch_lacks_is_named(make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint({"t": ("F6_E2M3", [4])})
    with (
        TensorReader(checkpoint) as reader,
        pytest.raises(UnsupportedModelError, match="t has dtype F6_E2M3"),
    ):
        reader.read("t")


def test_a_file_that_shrinks_while_it_is_read_is_noticed(make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint({"t": ("U8", [100])})
    with (checkpoint.folder / "model.safetensors").open("r+b") as file:
        file.truncate(checkpoint.tensors["t"].end - 50)
    with (
        TensorReader(checkpoint) as reader,
        pytest.raises(CheckpointError, match="ended inside tensor t"),
    ):
        reader.read("t")


def test_a_file_that_goes_away_is_noticed(make_checkpoint: Any) -> None:
    checkpoint = make_checkpoint({"t": ("U8", [100])})
    (checkpoint.folder / "model.safetensors").unlink()
    with (
        TensorReader(checkpoint) as reader,
        pytest.raises(CheckpointError, match="cannot be read: No such file"),
    ):
        reader.read("t")


def test_an_outline_has_shapes_everywhere_and_values_where_they_are_asked_for(
    make_checkpoint: Any,
) -> None:
    checkpoint = make_checkpoint({"t": ("U8", [2, 2])}, values={"t": b"\x01\x02\x03\x04"})
    with OutlineReader(checkpoint) as reader:
        outline = reader.read("t")
        assert (outline.is_meta, outline.shape, outline.dtype) == (True, (2, 2), torch.uint8)
        assert reader.bytes_read == 0
        assert reader.values("t").tolist() == [[1, 2], [3, 4]]


MEASURE = """
import resource, sys
from pathlib import Path
from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.reader import TensorReader

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

checkpoint = open_checkpoint(Path(sys.argv[1]))
with TensorReader(checkpoint) as reader:
    reader.read("small")
    start = peak()
    for name in checkpoint.tensors:
        reader.read(name)
    one_by_one = peak() - start
    kept = [reader.read(name) for name in checkpoint.tensors]
    print(one_by_one / checkpoint.total_bytes, (peak() - start) / checkpoint.total_bytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measured through the resource module")
def test_reading_takes_no_more_memory_than_its_tensors(tmp_path: Path) -> None:
    tensor_bytes = 8 * 2**20
    sizes = {"small": 8} | {f"t{number}": tensor_bytes for number in range(48)}
    header = {}
    end = 0
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode("utf-8")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + end)  # sparse
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    one_by_one, kept = map(float, done.stdout.split())
    assert one_by_one < 0.2
    assert kept < 1.15
