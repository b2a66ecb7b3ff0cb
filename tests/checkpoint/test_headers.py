import json
import random
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from localfp4.checkpoint.headers import MAX_HEADER_BYTES, read_header
from localfp4.errors import CheckpointError


def entry(dtype: str = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    shape = list(shape) if isinstance(shape, tuple) else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def library_accepts(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy"):
            return True
    except SafetensorError:
        return False


@pytest.mark.parametrize(
    "name",
    [
        "ct_qwen3_MXFP4",
        "ct_qwen3_NVFP4A16",
        "ct_qwen3_moe_NVFP4",
        "m_qwen3",
        "m_qwen3_moe",
        "mo_qwen3_NVFP4_DEFAULT_CFG",
        "mo_qwen3_W4A16_NVFP4_CFG",
        "mo_qwen3_moe_NVFP4_DEFAULT_CFG",
    ],
)
def test_headers_agree_with_the_safetensors_library(name: str, fixtures: Path) -> None:
    path = fixtures / name / "model.safetensors"
    header = read_header(path)
    with safe_open(path, framework="pt") as oracle:
        assert set(header.tensors) == set(oracle.keys())
        assert header.metadata == oracle.metadata()
        raw = path.read_bytes()
        for info in header.tensors.values():
            part = oracle.get_slice(info.name)
            assert list(info.shape) == part.get_shape()
            assert info.dtype == part.get_dtype()
            if "scale" not in info.name:  # numpy has no float8, and torch hides its bytes
                tensor = oracle.get_tensor(info.name)
                assert raw[info.start : info.end] == bytes(tensor.view(-1).untyped_storage())


@pytest.mark.parametrize(
    ("header", "data", "names"),
    [
        ({}, b"", set()),
        ({"a": entry()}, bytes(4), {"a"}),
        ({"a": entry(shape=(2, 0), offsets=(0, 0))}, b"", {"a"}),
        ({"a": entry("F4", (2, 4))}, bytes(4), {"a"}),
        ({"a": entry("F32", ())}, bytes(4), {"a"}),
        ({"b": entry(offsets=(4, 8)), "a": entry()}, bytes(8), {"a", "b"}),
        ({"__metadata__": {"format": "pt"}, "a": entry()}, bytes(4), {"a"}),
        ('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}      ', bytes(4), {"a"}),
    ],
    ids=["empty", "plain", "no-elements", "half-bytes", "scalar", "unsorted", "metadata", "padded"],
)
def test_sound_files_pass(write_raw: Any, header: Any, data: bytes, names: set[str]) -> None:
    path = write_raw(header, data)
    assert read_header(path).tensors.keys() == names
    assert library_accepts(path)


HUGE = 2**63

ATTACKS: dict[str, tuple[Any, bytes, str]] = {
    "truncated data": ({"a": entry()}, bytes(3), "ends after"),
    "trailing data": ({"a": entry()}, bytes(5), "belong to no tensor"),
    "overlap": ({"a": entry(), "b": entry(offsets=(2, 6))}, bytes(6), "overlaps"),
    "same bytes twice": ({"a": entry(), "b": entry()}, bytes(4), "overlaps"),
    "gap at start": ({"a": entry(offsets=(1, 5))}, bytes(5), "gap"),
    "gap between": ({"a": entry(), "b": entry(offsets=(6, 10))}, bytes(10), "gap"),
    "shape too large": ({"a": entry(shape=(5,))}, bytes(4), "not U8 of shape"),
    "shape too small": ({"a": entry(shape=(3,))}, bytes(4), "not U8 of shape"),
    "no elements, some bytes": ({"a": entry(shape=(2, 0))}, bytes(4), "not U8 of shape"),
    "product overflows": ({"a": entry(shape=(2**32, 2**32))}, bytes(4), "impossible shape"),
    "product wraps to 4": ({"a": entry(shape=(2, HUGE + 2))}, bytes(4), "impossible shape"),
    "dimension of 2^63": ({"a": entry(shape=(HUGE, 0), offsets=(0, 0))}, b"", "impossible shape"),
    "negative dimension": ({"a": entry(shape=(-2, -2))}, bytes(4), "impossible shape"),
    "fractional dimension": ({"a": entry(shape=(4.0,))}, bytes(4), "impossible shape"),
    "true as dimension": ({"a": entry(shape=(True, 4))}, bytes(4), "impossible shape"),
    "shape is text": ({"a": entry(shape="44")}, bytes(4), "impossible shape"),
    "many dimensions": ({"a": entry(shape=(1,) * 5000 + (4,))}, bytes(4), "dimensions"),
    "negative offsets": ({"a": entry(offsets=(-4, 0))}, bytes(4), "impossible data_offsets"),
    "offsets reversed": ({"a": entry(offsets=(4, 0))}, bytes(4), "impossible data_offsets"),
    "three offsets": ({"a": entry(offsets=(0, 2, 4))}, bytes(4), "impossible data_offsets"),
    "offsets past the end": ({"a": entry(shape=(400,), offsets=(0, 400))}, bytes(4), "ends after"),
    "unknown dtype": ({"a": entry("F7")}, bytes(4), "unknown dtype"),
    "dtype is no text": ({"a": {**entry(), "dtype": ["U8"]}}, bytes(4), "unknown dtype"),
    "no offsets": ({"a": {"dtype": "U8", "shape": [4]}}, bytes(4), "impossible data_offsets"),
    "entry is a list": ({"a": [1]}, b"", "not described"),
    "odd half-bytes": ({"a": entry("F4", (7,))}, bytes(4), "not F4 of shape"),
    "metadata is no table": ({"__metadata__": 3}, b"", "metadata"),
    "metadata is not text": ({"__metadata__": {"a": 1}}, b"", "metadata"),
    "header is a list": ("[1]", b"", "not a JSON object"),
    "header is empty": ("", b"", "not a JSON object"),
    "two objects": ("{}{}", b"", "not valid JSON"),
    "not UTF-8": (b'{"\xff":1}', b"", "not valid JSON"),
    "NaN": ('{"a":NaN}', b"", "NaN"),
    "broken name": ('{"\\ud800":' + json.dumps(entry()) + "}", bytes(4), "broken name"),
    "huge number": ('{"a":' + "9" * 5000 + "}", b"", "not valid JSON"),
    "deep nesting": ('{"a":' + "[" * 200_000 + "}", b"", "not valid JSON"),
    "duplicate tensor": (
        '{"a":' + json.dumps(entry()) + ',"a":' + json.dumps(entry()) + "}",
        bytes(4),
        "duplicate key",
    ),
    "duplicate field": (
        '{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}',
        bytes(4),
        "duplicate key",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_in_one_sentence(write_raw: Any, attack: str) -> None:
    header, data, reason = ATTACKS[attack]
    path = write_raw(header, data)
    with pytest.raises(CheckpointError) as error:
        read_header(path)
    message = str(error.value)
    assert reason in message
    assert path.name in message
    assert message.endswith("download it again.")
    assert len(message) < 600
    assert message.isprintable()


@pytest.mark.parametrize("length", [2, 100, MAX_HEADER_BYTES, MAX_HEADER_BYTES + 1, 2**64 - 1])
def test_a_header_length_beyond_the_file_is_refused(write_raw: Any, length: int) -> None:
    with pytest.raises(CheckpointError, match="download it again"):
        read_header(write_raw("{", length=length))


@pytest.mark.parametrize("size", range(9))
def test_files_shorter_than_a_header_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes((struct.pack("<Q", 2) + b"{")[:size])
    with pytest.raises(CheckpointError, match=re.escape(f"{size} bytes")):
        read_header(path)


def test_ten_million_entries_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    claimed = 10_000_000 * 52
    with path.open("wb") as file:
        file.write(struct.pack("<Q", claimed))
        file.truncate(claimed + 8)  # a sparse file: the size is real, the disk space is not
    with pytest.raises(CheckpointError, match="header claims 520000000 bytes"):
        read_header(path)


def test_more_tensors_than_any_model_has_are_refused(write_raw: Any) -> None:
    blank = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(f'"{i:x}":{blank}' for i in range(200_001)) + "}"
    with pytest.raises(CheckpointError, match="lists 200001 tensors"):
        read_header(write_raw(header))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors cannot be read: No such file"):
        read_header(tmp_path / "gone.safetensors")


def test_escape_sequences_in_names_do_not_reach_the_terminal(write_raw: Any) -> None:
    with pytest.raises(CheckpointError) as error:
        read_header(write_raw({"\x1b]52;c;eA==\x07\u202e": entry("F7")}, bytes(4)))
    assert str(error.value).isprintable()


@pytest.fixture(scope="session")
def fuzz_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "fuzz.safetensors"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6)
)
def test_flipped_bytes_are_refused_or_still_a_header_the_library_takes(
    flips: list[tuple[int, int]], fuzz_file: Path
) -> None:
    tensors = {
        "a": entry("F32", (2, 3), (0, 24)),
        "b": entry("U8", (8,), (24, 32)),
        "c": entry("F8_E4M3", (), (32, 33)),
        "__metadata__": {"format": "pt"},
    }
    header = json.dumps(tensors).encode("utf-8")
    raw = bytearray(struct.pack("<Q", len(header)) + header + bytes(33))
    for position, mask in flips:
        raw[position % (8 + len(header))] ^= mask
    fuzz_file.write_bytes(raw)
    try:
        read_header(fuzz_file)
    except CheckpointError:
        return
    assert library_accepts(fuzz_file)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tensors=st.integers(0, 12))
def test_what_the_library_would_write_is_read_back(
    seed: int, tensors: int, fuzz_file: Path
) -> None:
    random_ = random.Random(seed)
    sizes = {"U8": 1, "F8_E4M3": 1, "BF16": 2, "F32": 4, "I64": 8}
    header: dict[str, Any] = {}
    end = 0
    for number in range(tensors):
        dtype = random_.choice(list(sizes))
        shape = [random_.randrange(4) for _ in range(random_.randrange(4))]
        start, end = end, end + sizes[dtype] * (1 if not shape else _product(shape))
        header[f"layer.{number}"] = entry(dtype, shape, (start, end))
    raw = json.dumps(header).encode("utf-8")
    fuzz_file.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(end))
    found = read_header(fuzz_file).tensors
    assert library_accepts(fuzz_file)
    assert {name: list(info.shape) for name, info in found.items()} == {
        name: described["shape"] for name, described in header.items()
    }
    assert sum(info.nbytes for info in found.values()) == end


def _product(shape: list[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
