"""The head of GGUF files: settings among arrays, and files that are none."""

import struct
from pathlib import Path

import pytest

from localfp4.bench.engines.gguf_file import read_header
from localfp4.errors import UserError

UINT32, BOOL, STRING, ARRAY, UINT64 = 4, 7, 8, 9, 10


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def number(name: str, value: int, kind: int = UINT32) -> bytes:
    layout = {UINT32: "<I", UINT64: "<Q", BOOL: "<?"}[kind]
    return text(name) + struct.pack("<I", kind) + struct.pack(layout, value)


def gguf(*settings: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(settings)) + b"".join(settings)


WORDS = (
    text("tokenizer.ggml.tokens") + struct.pack("<IIQ", ARRAY, STRING, 2) + text("a") + text("é")
)
SCORES = text("scores") + struct.pack("<IIQ", ARRAY, 6, 3) + struct.pack("<3f", 1, 2, 3)
ARCHITECTURE = text("general.architecture") + struct.pack("<I", STRING) + text("llama")
SIZES = (
    number("llama.block_count", 32),
    number("llama.attention.head_count", 32),
    number("llama.attention.head_count_kv", 8, UINT64),
    number("llama.embedding_length", 4096),
)


def test_settings_are_found_behind_arrays(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf(ARCHITECTURE, WORDS, SCORES, *SIZES, number("general.file_type", 15)))
    header = read_header(file)
    assert (header.architecture, header.weight_format) == ("llama", "Q4_K_M")
    assert header.is_quantised
    # 32 layers of 8 heads of 128 numbers, keys and values, two bytes each.
    assert header.kv_bytes_per_token == 131_072


def test_what_a_file_does_not_tell_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf(ARCHITECTURE, number("general.file_type", 0)))
    header = read_header(file)
    assert (header.weight_format, header.is_quantised) == ("F32", False)
    assert header.kv_bytes_per_token is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + bytes(100),
        gguf(version=9),
        gguf(SCORES, ARCHITECTURE)[:60],
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        gguf(text("x") + struct.pack("<I", 99)),
        gguf(struct.pack("<Q", 2**50)),
        gguf(text("x") + struct.pack("<II", ARRAY, ARRAY) + bytes(8)),
        gguf(text("x") + struct.pack("<IQ", STRING, 2) + b"\xff\xff"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"m\.gguf is not a GGUF file, or it is damaged\.$"):
        read_header(file)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: no such file or directory\.$"):
        read_header(tmp_path / "m.gguf")
    with pytest.raises(UserError, match=r"cannot be read: is a directory\.$"):
        read_header(tmp_path)
