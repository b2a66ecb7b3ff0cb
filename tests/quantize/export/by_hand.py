"""Results of layers without a calibration: every linear rounded by a plain quantiser of the kernels.

Global scales are powers of two, so that rounded weights are exact in bfloat16 and two programs that
read them must agree to the last bit.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from localfp4.checkpoint.hub import find
from localfp4.checkpoint.reader import TensorReader
from localfp4.checkpoint.rounded.pieces import expert_pieces
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.export.write import export
from localfp4.quantize.recipe import Recipe, WeightFormat
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.codes import Codes, Fp8Codes, GlobalScale, Mxfp4Codes, Nvfp4Codes
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.sites import Site
from localfp4_kernels.formats.mxfp4 import quantize_mxfp4_torch
from localfp4_kernels.formats.nvfp4 import quantize_nvfp4_torch

CARD = "# A model\n"
INPUT_AMAX = 10.5
"""2688 / 10.5 = 256, exactly."""

_TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))

Results = Callable[[int], LayerResult]


def results(
    opened: OpenedModel,
    recipe: Recipe,
    formats: Mapping[str, WeightFormat] | None = None,
    replaced: Mapping[str, torch.Tensor] | None = None,
) -> Results:
    """Round every linear that a recipe quantises.

    Args:
        opened: The model.
        recipe: How.
        formats: Of linears whose names end so; others have the recipe's.
        replaced: 16-bit tensors that changed.
    """
    weights = {name: weight.float() for name, weight in matrices(opened)}
    layers = len(opened.spec.layers)
    sites: dict[int, list[QuantisedSite]] = {}
    for layer, site in sites_of(opened, recipe):
        format = next((f for end, f in (formats or {}).items() if site.name.endswith(end)), None)
        whole = torch.cat([weights[prefix] for prefix in site.prefixes])
        codes = rounded(rotate(whole, recipe.rotation), format or recipe.format)
        done = QuantisedSite(site, codes, INPUT_AMAX, recipe.rotation, error=0.01)
        sites.setdefault(layer, []).append(done)

    def result(index: int) -> LayerResult:
        own = {n: t for n, t in (replaced or {}).items() if _layer(n, layers) == index}
        return LayerResult(index, tuple(sites.get(index, ())), own)

    return result


def rounded(weight: torch.Tensor, format: WeightFormat) -> Codes:
    """Round a matrix with scales that bfloat16 has exactly."""
    match format:
        case "nvfp4":
            exponent = math.floor(math.log2(2688 / float(weight.abs().max())))
            made = quantize_nvfp4_torch(weight, 2688 * 2.0**-exponent)
            return Nvfp4Codes(
                made.packed, made.scale, GlobalScale(torch.tensor(2.0**exponent), divides=True)
            )
        case "mxfp4":
            mxfp4 = quantize_mxfp4_torch(weight)
            return Mxfp4Codes(mxfp4.packed, mxfp4.scale)
        case "fp8":
            scale = torch.exp2((weight.abs().amax(1, keepdim=True) / 448).log2().ceil())
            return Fp8Codes((weight / scale).to(torch.float8_e4m3fn), scale)


def exported(
    folder: Path,
    out: Path,
    recipe: Recipe,
    made: Results | None = None,
) -> Path:
    """Quantise the model in a folder, by hand unless that is done, and return the export's folder."""
    opened = open_model(find(str(folder)))
    work = out.with_name(out.name + ".partial")
    work.mkdir(exist_ok=True)
    for _ in export(opened, recipe, made or results(opened, recipe), out, work, CARD):
        pass
    return out


def matrices(opened: OpenedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every matrix of a model, those of stacked experts one by one."""
    checkpoint = opened.checkpoint
    with TensorReader(checkpoint) as reader:
        for name, info in checkpoint.tensors.items():
            if name.endswith(".weight") and len(info.shape) == 2:
                yield name.removesuffix(".weight"), reader.read(name)
    for stack in dense_stacks(checkpoint, opened.spec):
        for piece in expert_pieces(checkpoint, stack):
            with TensorReader(replace(checkpoint, tensors={piece.name: piece.info})) as reader:
                whole = reader.read(piece.name)
            whole = whole.T if piece.transposed else whole
            for cut in piece.cuts:
                if cut.is_weight:
                    yield cut.prefix, whole[cut.rows]


def sites_of(opened: OpenedModel, recipe: Recipe) -> Iterator[tuple[int, Site]]:
    """Yield the sites that a recipe quantises, and the layers that they are in."""
    shapes = {name: weight.shape for name, weight in matrices(opened)}
    left = dict.fromkeys(sorted(chosen_linears(opened, recipe).names))
    while left:
        holder, _, leaf = next(iter(left)).rpartition(".")
        leaves = next((group for group in _TOGETHER if leaf in group), (leaf,))
        names = (f"{holder}.{one}".removeprefix(".") for one in leaves)
        prefixes = tuple(name for name in names if name in left)
        for prefix in prefixes:
            del left[prefix]
        rows = tuple(shapes[prefix][0] for prefix in prefixes)
        expert = int(holder.rpartition(".")[2]) if ".experts." in holder else None
        site = Site(prefixes, rows, shapes[prefixes[0]][1], expert)
        yield _layer(site.name, len(opened.spec.layers)), site


def _layer(name: str, layers: int) -> int:
    parts = name.split(".")
    return int(parts[2]) if parts[:2] == ["model", "layers"] else layers
