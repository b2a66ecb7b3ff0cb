"""What was decided for a layer as a safetensors file: codes as tensors, all else in its header."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.packed_codes import TENSORS, codes_of, tensors_of

_REPLACED = "replaced."
_SITES = "sites"


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What is known of a finished layer without its codes.

    Attributes:
        index: Of the layer.
        sites: Of each, what :class:`QuantisedSite` says beside its codes, and the kind of those.
        replaced: Names of 16-bit tensors that changed.
    """

    index: int
    sites: tuple[dict[str, Any], ...]
    replaced: tuple[str, ...]


def write_layer(path: Path, result: LayerResult) -> None:
    """Write what was decided for a layer.

    Raises:
        OSError: The file cannot be written.
        SafetensorError: Likewise.
    """
    tensors = {_REPLACED + name: tensor for name, tensor in result.replaced.items()}
    sites = []
    for place, one in enumerate(result.sites):
        kind, found = tensors_of(one.codes)
        tensors |= {f"{place}.{name}": tensor for name, tensor in found.items()}
        sites.append(_described(one) | {"kind": kind})
    stored = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(stored, path, {_SITES: json.dumps(sites)})


def read_layer(path: Path, index: int, device: torch.device) -> LayerResult:
    """Read what was decided for a layer, codes to a device.

    Raises:
        OSError: The file cannot be read.
        SafetensorError: It is damaged.
    """
    with safe_open(path, "pt", str(device)) as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sites = json.loads(file.metadata()[_SITES])
    replaced = {
        name.removeprefix(_REPLACED): tensor.cpu()
        for name, tensor in found.items()
        if name.startswith(_REPLACED)
    }
    rounded = (_site_of(found, place, one) for place, one in enumerate(sites))
    return LayerResult(index, tuple(rounded), replaced)


def read_summary(path: Path, index: int) -> LayerSummary:
    """Read what was decided for a layer, without its codes.

    Raises:
        OSError: The file cannot be read.
        SafetensorError: It is damaged.
    """
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(_REPLACED)]  # noqa: SIM118
        sites = json.loads(file.metadata()[_SITES])
    return LayerSummary(index, tuple(sites), tuple(name.removeprefix(_REPLACED) for name in names))


def _described(one: QuantisedSite) -> dict[str, Any]:
    """Return all of a site but its codes."""
    return {
        "site": asdict(one.site),
        "input_amax": one.input_amax,
        "rotation": one.rotation,
        "error": one.error,
        "note": one.note,
    }


def _site_of(tensors: dict[str, torch.Tensor], place: int, said: dict[str, Any]) -> QuantisedSite:
    """Return a site from what was written of it."""
    names = (f"{place}.{name}" for name in TENSORS[said["kind"]])
    parts = {name.partition(".")[2]: tensors[name] for name in names if name in tensors}
    site = said["site"] | {key: tuple(said["site"][key]) for key in ("prefixes", "rows")}
    return QuantisedSite(
        Site(**site),
        codes_of(said["kind"], parts),
        said["input_amax"],
        said["rotation"],
        said["error"],
        said["note"],
    )
