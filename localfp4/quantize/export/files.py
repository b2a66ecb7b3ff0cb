"""The files of a model beside its weights: config, tokenizer, templates, licence."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localfp4.checkpoint.weight_files import INDEX_FILE
from localfp4.text.files import LANGUAGE_MODEL

CARD = "README.md"
CONFIG = "config.json"
MODELOPT_CONFIG = "hf_quant_config.json"

_CARRIED = ("*.json", "*.jinja", "merges.txt", "tokenizer.model", "LICENSE*", "NOTICE*")
"""Data only, as a download of the model fetches it, and the terms that it comes under."""

_MADE_ANEW = frozenset({CONFIG, MODELOPT_CONFIG, INDEX_FILE})

_TIED = "tie_word_embeddings"


def carried_files(folder: Path) -> list[Path]:
    """Return the files of a model's folder that go along unchanged."""
    found = {path for pattern in _CARRIED for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name not in _MADE_ANEW)


def carry(folder: Path, out: Path) -> None:
    """Copy what goes along unchanged; of links, such as the hub's cache has, what they lead to."""
    for path in carried_files(folder):
        shutil.copyfile(path, out / path.name)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object as transformers does."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def quantised_config(
    config: Mapping[str, Any], quantization: Mapping[str, Any], *, has_head: bool
) -> dict[str, Any]:
    """Return ``config.json`` of the quantised model.

    Args:
        config: Of the original.
        quantization: What loaders need to know of the weights.
        has_head: Whether the output projection was quantised; then none may take the embedding for
            it, as some configs say for a head of its own.
    """
    found = {**config, "quantization_config": dict(quantization)}
    if has_head:
        for holder in _holders(found):
            if holder.get(_TIED):
                holder[_TIED] = False
    return found


def _holders(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    for key in LANGUAGE_MODEL:
        if isinstance(config.get(key), dict):
            config[key] = {**config[key]}
            yield config[key]
