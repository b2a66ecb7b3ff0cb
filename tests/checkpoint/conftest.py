"""Hand-made safetensors files: the writers here check nothing, so that they can lie."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.tensor_info import DTYPE_BITS

TensorSpec = tuple[str, list[int]]
WriteRaw = Callable[..., Path]
MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def write_raw(tmp_path: Path) -> WriteRaw:
    """Write a file of a given header (text, bytes or an object) and given data."""

    def write(header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
        raw = header if isinstance(header, bytes) else _text(header).encode("utf-8")
        path = tmp_path / "hand.safetensors"
        path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
        return path

    return write


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Make a checkpoint of zeros (or given bytes) from names, dtypes and shapes."""

    def make(
        tensors: Mapping[str, TensorSpec],
        quant_config: Mapping[str, Any] | None = None,
        values: Mapping[str, bytes] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Checkpoint:
        header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        data = b""
        for name, (dtype, shape) in tensors.items():
            size = DTYPE_BITS[dtype]
            for dimension in shape:
                size *= dimension
            content = (values or {}).get(name, bytes(size // 8))
            offsets = [len(data), len(data) + len(content)]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            data += content
        raw = json.dumps(header).encode("utf-8")
        file = tmp_path / "model.safetensors"
        file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
        config = {"quantization_config": quant_config} if quant_config else {}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return open_checkpoint(tmp_path)

    return make


def _text(header: Any) -> str:
    return header if isinstance(header, str) else json.dumps(header)
