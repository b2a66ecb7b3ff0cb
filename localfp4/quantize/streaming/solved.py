"""Rounding the sites of a layer, and putting what came of it in the place of the originals."""

from collections.abc import Mapping

import torch

from localfp4.models.emulated import Narrow
from localfp4.quantize.export.finite import finite
from localfp4.quantize.recipe import Precision, Recipe, WeightFormat
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.rounding.feedback import SolveError
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.rounding.solve import solve
from localfp4.quantize.sites import Site
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming.inputs import InputForm, Watch
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4.quantize.streaming.packed_codes import kind_of

Formats = Mapping[str, WeightFormat | None]
"""What linears become, by the name of any linear of a site; ``None`` leaves them in 16 bits."""

_LARGEST_INPUT = 6 * 448
"""E2M1's largest times E4M3's: what the largest input of a calibrated site becomes."""

_PIECE = 2**24
"""Weights that are expanded at once."""


def format_of(site: Site, recipe: Recipe, formats: Formats) -> WeightFormat | None:
    """Return what a site becomes; ``None`` leaves it in 16 bits."""
    named = [prefix for prefix in site.prefixes if prefix in formats]
    return formats[named[0]] if named else recipe.format


def solve_site(
    weight: torch.Tensor,
    dtype: torch.dtype,
    site: Site,
    statistics: InputStatistics | None,
    format: WeightFormat,
    recipe: Recipe,
) -> QuantisedSite:
    """Round a site.

    Args:
        weight: ``[N, K]`` in the compute type.
        dtype: Type in which it is stored.
        site: Which.
        statistics: Of its inputs.
        format: What it becomes.
        recipe: How.

    Raises:
        CheckpointError: A weight is not finite.
        SolveError: Its inputs cannot be used.
    """
    finite(weight, site.name)
    # Exporters' rules depend on the type of the weights; rotated ones are numbers of our own.
    rows = rotate(weight.float(), recipe.rotation) if recipe.rotation else weight.to(dtype)
    try:
        codes, error = solve(rows, statistics, format, recipe.rounding)
    except SolveError as problem:
        raise SolveError(f"{site.name}: {problem}") from problem
    amax = None if statistics is None or recipe.precision == "w4a16" else statistics.largest
    return QuantisedSite(site, codes, amax, recipe.rotation, error, _note(statistics))


def put(layer: ObservedLayer, result: LayerResult, precision: Precision) -> None:
    """Let a layer compute with rounded weights, and round its inputs as they will be."""
    for one in result.sites:
        watch = layer.watches[one.site.name]
        # The maps of latent attention are never multiplied by a row that could be rotated.
        is_map = watch is layer.latents
        put_site(layer.weights(one.site), watch, one, precision, back=is_map)


def put_site(
    weight: torch.Tensor,
    watch: Watch,
    one: QuantisedSite,
    precision: Precision,
    *,
    back: bool = False,
) -> None:
    """Write a rounded site over its weight ``[N, K]``, and set the form of its input.

    Args:
        weight: What is written over.
        watch: What stands before it.
        one: What came of rounding.
        precision: Width of activations.
        back: Whether rotated weights are rotated back, for plain inputs.
    """
    step = max(_PIECE // weight.shape[1], 1)
    for start in range(0, weight.shape[0], step):
        rows = one.codes.rows(start, start + step).dequantised()
        weight[start : start + step].copy_(rotate(rows, one.rotation) if back else rows)
    watch.form = form_of(one, precision, weight.device)


def form_of(one: QuantisedSite, precision: Precision, device: torch.device) -> InputForm:
    """Return the form in which a rounded site reads its input."""
    activations = narrow_inputs(kind_of(one.codes), precision)
    scale = None
    if activations == "nvfp4" and one.input_amax:
        scale = torch.tensor(one.input_amax / _LARGEST_INPUT, device=device)
    return InputForm(one.rotation, activations, scale)


def narrow_inputs(format: WeightFormat, precision: Precision) -> Narrow:
    """Return what inputs are rounded to: 8-bit weights never meet inputs of 4 bits."""
    if precision == "w4a16":
        return "none"
    return "fp8" if precision == "w4a8" else format


def _note(statistics: InputStatistics | None) -> str | None:
    if statistics is None or not statistics.borrowed:
        return None
    seen = "no token" if not statistics.rows else f"{statistics.rows} tokens"
    return f"{seen} of the calibration text came to this expert; it borrows those of others"
