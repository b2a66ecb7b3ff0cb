"""Names of synthetic models, and the checkpoints they stand for; torch-free."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.synthetic.catalogue import CATALOGUE, Published
from localfp4.checkpoint.synthetic.decoder import add_decoder
from localfp4.checkpoint.synthetic.layout import Layout
from localfp4.checkpoint.synthetic.mix import PLAIN
from localfp4.checkpoint.weight_files import SINGLE_FILE
from localfp4.errors import ModelNotFoundError

PREFIX = "synthetic:"
PLAIN_FORM = "bf16"
"""After an ``@``: nothing is quantised."""


@dataclass(frozen=True, slots=True)
class SyntheticModel:
    """A published model's shapes.

    Attributes:
        name: A key of the catalogue.
        layers: How many of its first layers; ``None`` takes all.
        plain: Whether nothing is quantised, instead of what its publisher quantises.
    """

    name: str
    layers: int | None = None
    plain: bool = False

    def __str__(self) -> str:
        layers = "" if self.layers is None else f":{self.layers}"
        return f"{PREFIX}{self.name}{layers}" + (f"@{PLAIN_FORM}" if self.plain else "")


@dataclass(frozen=True, slots=True)
class SyntheticCheckpoint(Checkpoint):
    """Headers that no file has; :mod:`localfp4.checkpoint.synthetic.reader` makes the values."""


def synthetic_model(text: str) -> SyntheticModel:
    """Read ``NAME`` or ``NAME:LAYERS``, either with ``@bf16``.

    Raises:
        ModelNotFoundError: There is no such model, or it has fewer layers, or no such form.
    """
    shape, has_form, form = text.partition("@")
    name, has_count, count = shape.partition(":")
    published = CATALOGUE.get(name)
    if published is None:
        close = difflib.get_close_matches(name.lower(), CATALOGUE, n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ModelNotFoundError(
            f"There is no synthetic model '{shown(name)}', only {', '.join(CATALOGUE)}.{hint}"
        )
    if has_form and form != PLAIN_FORM:
        raise ModelNotFoundError(
            f"{name} is stored as its publisher has it, or as {name}@{PLAIN_FORM} with nothing "
            f"quantised; there is no '@{shown(form)}'."
        )
    if not has_count:
        return SyntheticModel(name, plain=bool(has_form))
    most = _language_model(published.config)["num_hidden_layers"]
    if not (count.isascii() and count.isdecimal() and len(count) < 10 and 1 <= int(count) <= most):
        raise ModelNotFoundError(
            f"{name} has {most} layers, so that '{shown(count)}' of them cannot be had; "
            f"try {name}:2."
        )
    return SyntheticModel(name, int(count), plain=bool(has_form))


def synthetic_checkpoint(model: SyntheticModel) -> SyntheticCheckpoint:
    """Return the headers of a synthetic model."""
    published = CATALOGUE[model.name]
    config = _cut(published.config, model.layers)
    folder = Path(str(model))  # which does not exist: there is no tokenizer, nor anything else
    layout = Layout(folder / SINGLE_FILE)
    add_decoder(layout, config, PLAIN if model.plain else published.mix)
    quant_config = None if model.plain else _quant_config(published, layout)
    if quant_config is not None:
        config["quantization_config"] = quant_config
    return SyntheticCheckpoint(
        folder=folder,
        config=MappingProxyType(config),
        generation_config=MappingProxyType({}),
        quant_config=quant_config,
        tensors=MappingProxyType(layout.tensors),
    )


def _language_model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config.get("text_config", config)
    return found


def _cut(config: Mapping[str, Any], layers: int | None) -> dict[str, Any]:
    """Return a config with its first layers only, which keep the family's pattern."""
    if layers is None:
        return dict(config)
    text = _language_model(config)
    cut: dict[str, Any] = {"num_hidden_layers": layers}
    if "layer_types" in text:
        cut["layer_types"] = text["layer_types"][:layers]
    if text is config:
        return {**config, **cut}
    return {**config, "text_config": {**text, **cut}}


def _quant_config(published: Published, layout: Layout) -> dict[str, Any]:
    """Return what the exporter writes of the precisions."""
    if published.config["model_type"] == "gpt_oss":
        return {"quant_method": "mxfp4"}
    if published.mix.mlp == "nvfp4-ct":
        four_bits = {"num_bits": 4, "type": "float", "group_size": 16}
        groups = {"group_0": {"weights": four_bits, "input_activations": four_bits}}
        return {
            "quant_method": "compressed-tensors",
            "format": "nvfp4-pack-quantized",
            "config_groups": groups,
        }
    algorithms = {entry["quant_algo"] for entry in layout.quantized_layers.values()}
    if algorithms == {"NVFP4"}:
        return {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    return {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": layout.quantized_layers,
    }
