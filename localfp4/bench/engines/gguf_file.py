"""What the head of a GGUF file tells; stdlib only, and knows nothing of tensors.

The layout is that of ``docs/gguf.md`` in ggml, versions 2 and 3.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from localfp4.checkpoint.display import shown
from localfp4.errors import UserError

FILE_TYPES = {
    **dict(enumerate(("F32", "F16", "Q4_0", "Q4_1"))),
    **dict(enumerate(("Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L"), 7)),
    **dict(enumerate(("Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"), 14)),
    **dict(enumerate(("IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL"), 19)),
    **dict(enumerate(("IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16"), 26)),
    **dict(enumerate(("TQ1_0", "TQ2_0", "MXFP4", "NVFP4"), 36)),
}
"""Of ``general.file_type``: ``llama_ftype`` in llama.h."""

_UNQUANTISED = ("F32", "F16", "BF16")

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9

_MOST_ENTRIES, _LONGEST_TEXT = 1 << 24, 1 << 24
"""Above these a file is damaged; the largest vocabularies have a quarter of a million words."""

_KV_BYTES = 2
"""llama.cpp's KV cache is in float16."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The settings in a file.

    Attributes:
        settings: Those that are single values.
    """

    settings: Mapping[str, object]

    @property
    def architecture(self) -> str:
        """Such as ``qwen3``."""
        return shown(self.settings.get("general.architecture", ""))

    @property
    def weight_format(self) -> str:
        """Such as ``Q4_K_M``; ``GGUF`` where the file does not tell."""
        number = self.settings.get("general.file_type")
        return FILE_TYPES.get(number, "GGUF") if isinstance(number, int) else "GGUF"

    @property
    def is_quantised(self) -> bool:
        """Whether its weights have less than 16 bits."""
        return self.weight_format not in _UNQUANTISED

    @property
    def kv_bytes_per_token(self) -> int | None:
        """Bytes that a token takes in llama.cpp's KV cache; ``None`` where layers differ."""
        layers, heads, kv_heads = (
            self._number(name)
            for name in ("block_count", "attention.head_count", "attention.head_count_kv")
        )
        width = self._number("embedding_length")
        if layers is None or heads is None or kv_heads is None or width is None:
            return None
        head_dim = width // heads
        key = self._number("attention.key_length") or head_dim
        value = self._number("attention.value_length") or head_dim
        return layers * kv_heads * (key + value) * _KV_BYTES

    def _number(self, name: str) -> int | None:
        value = self.settings.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) and value > 0 else None


def read_header(file: Path) -> GgufHeader:
    """Read the head of a file.

    Raises:
        UserError: It cannot be read, or is no GGUF file.
    """
    try:
        with file.open("rb") as opened:
            return GgufHeader(_settings(opened))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{shown(file)} cannot be read: {reason}.") from error
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{shown(file)} is not a GGUF file, or it is damaged.") from error


def _settings(file: BinaryIO) -> dict[str, object]:
    if file.read(4) != b"GGUF":
        raise ValueError
    version, _, entries = _read(file, "<IQQ")
    if version not in (2, 3):
        raise ValueError
    found: dict[str, object] = {}
    for _ in range(_sane(entries, _MOST_ENTRIES)):
        name = _text(file)
        (kind,) = _read(file, "<I")
        if kind == _ARRAY:
            _skip_array(file)
        else:
            found[name] = _value(file, kind)
    return found


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _text(file)
    if kind not in _SCALARS:
        raise ValueError
    (value,) = _read(file, f"<{_SCALARS[kind]}")
    return value


def _skip_array(file: BinaryIO) -> None:
    kind, count = _read(file, "<IQ")
    _sane(count, _MOST_ENTRIES)
    if kind == _STRING:
        for _ in range(count):
            (length,) = _read(file, "<Q")
            file.seek(_sane(length, _LONGEST_TEXT), 1)
    elif kind in _SCALARS:
        file.seek(count * struct.calcsize(_SCALARS[kind]), 1)
    else:
        raise ValueError


def _text(file: BinaryIO) -> str:
    (length,) = _read(file, "<Q")
    return file.read(_sane(length, _LONGEST_TEXT)).decode("utf-8")


def _read(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _sane(number: int, most: int) -> int:
    if number > most:
        raise ValueError
    return number
