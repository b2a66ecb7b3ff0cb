"""What other libraries read of a model: which folder, how it is quantised, about how much memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localfp4.bench.engines.gguf_file import GgufHeader
from localfp4.bench.workload import Case
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.hub import DEMO, Source, find
from localfp4.checkpoint.index import quant_config
from localfp4.checkpoint.store.cache import folder_bytes
from localfp4.errors import CheckpointError, UserError
from localfp4.text.files import language_model_settings, read_json

NO_FILES = "A synthetic model has no files that another library could read"

_CONFIG = "config.json"
_BYTES = {"bfloat16": 2, "float32": 4}
_TRANSFORMERS_BYTES, _LLAMA_BYTES = 700 * 2**20, 300 * 2**20
"""Main memory of a process that runs nothing yet, as measured on Linux, and some room."""


def original_of(model: str, source: Source, bf16: str | None) -> Path | None:
    """Return the folder of the unquantised original, where there is one.

    Raises:
        UserError: The one that was named cannot be found, or is quantised.
    """
    if bf16 is not None:
        named = find(bf16)
        if not isinstance(named, Path):
            raise UserError(f"--bf16 {shown(bf16)}: {NO_FILES}.")
        if method := quant_method(named):
            raise UserError(
                f"--bf16 {shown(bf16)} is quantised ({shown(method)}); name the original."
            )
        return named
    if not isinstance(source, Path):
        return None
    beside = source.parent / "bf16"
    if model == DEMO and (beside / _CONFIG).is_file():
        return beside
    return None if quant_method(source) else source


def quant_method(folder: Path) -> str:
    """Return how a checkpoint is quantised; empty where it is not.

    Raises:
        CheckpointError: Its configuration cannot be read.
    """
    found = quant_config(folder, _config(folder))
    return "" if found is None else str(found.get("quant_method") or "an unknown kind")


def context_of(folder: Path) -> int | None:
    """Return how many tokens a model was made for; ``None`` where its config does not tell."""
    most = _language_model(folder).get("max_position_embeddings")
    return most if isinstance(most, int) and most > 0 else None


def needed_by_transformers(folder: Path, dtype: str, cases: Sequence[Case]) -> int | None:
    """Return about what transformers takes; ``None`` where a config has other words for sizes."""
    config = _language_model(folder)
    names = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
    sizes = [size for name in names if isinstance(size := config.get(name), int) and size > 0]
    if len(sizes) < len(names):
        return None
    layers, heads, hidden, inner = sizes
    head_dim = config.get("head_dim") or hidden // heads
    kv = 2 * layers * (config.get("num_key_value_heads") or heads) * head_dim
    size = _BYTES[dtype]
    kept = max(case.batch * case.length for case in cases) * kv
    passing = max(case.batch * case.input_tokens for case in cases) * (3 * inner + 6 * hidden)
    weights = folder_bytes(folder) * size // _BYTES["bfloat16"]
    return int(weights + (kept + passing) * size + _TRANSFORMERS_BYTES)


def needed_by_llama_cpp(file: Path, header: GgufHeader, cases: Sequence[Case]) -> int | None:
    """Return about what llama.cpp takes; ``None`` where layers differ in their KV cache."""
    per_token = header.kv_bytes_per_token
    if per_token is None:
        return None
    tokens = max(case.batch * case.length for case in cases)
    return file.stat().st_size + tokens * per_token + _LLAMA_BYTES


def _language_model(folder: Path) -> Mapping[str, Any]:
    config = _config(folder)
    return language_model_settings(config) or config


def _config(folder: Path) -> Mapping[str, Any]:
    if found := read_json(folder / _CONFIG):
        return found
    raise CheckpointError(f"{shown(folder)} has no {_CONFIG} that can be read.")
