"""What was decided for the linears of a layer, before anyone writes a file."""

from dataclasses import dataclass, field

import torch

from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.sites import Site


@dataclass(frozen=True, slots=True)
class QuantisedSite:
    """A site that was rounded.

    Attributes:
        site: Which.
        codes: Of all its rows, one linear below the other.
        input_amax: Largest magnitude of its inputs (rotated ones where they are); ``None`` where
            none were seen, or activations stay at 16 bits.
        rotation: Features of the input that are rotated together; 0 rotates none.
        error: Squared error of its output over that of the original, on calibration inputs; of its
            weights where there are no inputs.
        note: What a user should know of it, such as an expert that nobody asked.
    """

    site: Site
    codes: Codes
    input_amax: float | None = None
    rotation: int = 0
    error: float = 0.0
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LayerResult:
    """A layer that is done.

    Attributes:
        index: Of the layer; the number of layers stands for what comes after the last.
        sites: What was rounded.
        replaced: 16-bit tensors that changed, such as norms with folded scales, by the canonical
            names of :mod:`localfp4.checkpoint.text_part`, in the form in which they are stored.
    """

    index: int
    sites: tuple[QuantisedSite, ...]
    replaced: dict[str, torch.Tensor] = field(default_factory=dict)
