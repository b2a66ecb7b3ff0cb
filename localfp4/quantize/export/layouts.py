"""The tensors of a rounded linear under the names and conventions of each exporter.

Sources: compressed-tensors' compressors, NVIDIA ModelOpt's and FP-Quant's exports. A file of theirs
with the same codes has the same bytes.
"""

import torch

from localfp4.checkpoint.fp8 import WEIGHT as FP8_WEIGHT
from localfp4.checkpoint.mxfp4 import MXFP4_NAMES
from localfp4.checkpoint.nvfp4 import NVFP4_NAMES
from localfp4.checkpoint.transforms import ROTATION
from localfp4.quantize.recipe import Export, Precision
from localfp4.quantize.results import QuantisedSite
from localfp4.quantize.rounding.codes import Fp8Codes, Mxfp4Codes, Nvfp4Codes
from localfp4.quantize.rounding.rotation import hadamard
from localfp4_kernels.formats.nvfp4 import E2M1_MAX, E4M3_MAX

UNSEEN_INPUT_SCALE = 1.0
"""Of inputs that calibration never saw: block scales of E4M3 alone reach from 0.01 to 2688."""

_BACKWARD = ".backward_hadamard_matrix"


def linear_tensors(
    site: QuantisedSite, start: int, end: int, export: Export, precision: Precision
) -> dict[str, torch.Tensor]:
    """Return the tensors of one linear of a site by their suffixes, such as ``.weight_packed``.

    Args:
        site: What was rounded.
        start: First row of the linear.
        end: The row after its last.
        export: Whose layout.
        precision: What inputs are made for.
    """
    codes = site.codes.rows(start, end)
    match codes:
        case Nvfp4Codes():
            tensors = _nvfp4(codes, site.input_amax, export, precision)
        case Mxfp4Codes():
            tensors = _mxfp4(codes, export, precision)
        case Fp8Codes():
            tensors = {FP8_WEIGHT: codes.data, ".weight_scale": codes.scale}
    if export == "fp-quant":
        tensors |= _rotation(site.rotation)
    return {suffix: tensor.cpu().contiguous() for suffix, tensor in tensors.items()}


def _nvfp4(
    codes: Nvfp4Codes, input_amax: float | None, export: Export, precision: Precision
) -> dict[str, torch.Tensor]:
    names = NVFP4_NAMES[export]
    divides = names.scales_are_divisors
    stored = codes.global_scale.stored
    if codes.global_scale.divides != divides:
        stored = stored.reciprocal()
    # ModelOpt keeps single numbers without a dimension, the others with one.
    shape = (1,) if divides else ()
    tensors = {
        names.packed: codes.packed,
        names.scale: codes.scale.view(torch.uint8) if export == "fp-quant" else codes.scale,
        names.global_scale: stored.float().reshape(shape),
    }
    if precision == "w4a4":
        scale = _input_scale(input_amax, divides=divides)
        tensors[names.input_scale] = torch.full(shape, scale, dtype=torch.float32)
    return tensors


def _mxfp4(codes: Mxfp4Codes, export: Export, precision: Precision) -> dict[str, torch.Tensor]:
    names = MXFP4_NAMES[export]
    tensors = {names.packed: codes.packed, names.scale: codes.scale}
    if names.divisor is not None:
        tensors[names.divisor] = torch.ones(1)
        if precision == "w4a4":
            tensors[NVFP4_NAMES["fp-quant"].input_scale] = torch.ones(1)
    return tensors


def _input_scale(amax: float | None, *, divides: bool) -> float:
    if not amax:
        return UNSEEN_INPUT_SCALE
    largest = E2M1_MAX * E4M3_MAX
    return largest / amax if divides else amax / largest


def _rotation(block: int) -> dict[str, torch.Tensor]:
    """Return the matrices of FP-Quant's layers, in bfloat16 where that has their entries exactly.

    The reader multiplies by what it finds: a factor that is rounded would scale the whole product.
    """
    exact = hadamard(block, torch.device("cpu"), torch.float32)
    narrow = exact.bfloat16()
    stored = narrow if torch.equal(narrow.float(), exact) else exact
    return {ROTATION: stored, _BACKWARD: stored.clone()}
