"""Scaling the channels of a layer, and folding the scales into what computes them."""

import torch

from localfp4.quantize.channel_scales.folds import Fold, NormSource, RowSource, folds
from localfp4.quantize.channel_scales.search import awq_scales, smoothquant_scales
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming.observed import ObservedLayer


def fold_channel_scales(layer: ObservedLayer, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Scale the columns of a layer's sites, where that can be undone before them, as a recipe says.

    Weights, norms and biases change in place, and statistics to those of the inputs that sites get
    from now on; the layer computes what it computed.

    Args:
        layer: With statistics of its sites; those of AWQ with samples.
        recipe: Which scales, and how weights and activations will be rounded.

    Returns:
        The 16-bit tensors that changed, on the CPU, by their canonical names, in the form in which
        they are stored.
    """
    replaced: dict[str, torch.Tensor] = {}
    for fold in folds(layer):
        statistics = layer.statistics.get(fold.site.name)
        if statistics is None or not statistics.rows:
            continue
        scales = _scales(fold, layer.weights(fold.site), statistics, recipe)
        if scales is None:
            continue
        match fold.source:
            case NormSource() as norm:
                scales = _divide_norm(norm, scales, layer, replaced)
            case RowSource() as rows:
                _divide_rows(rows, scales, layer, replaced)
        columns = fold.columns(scales)
        weight = layer.weights(fold.site)
        weight.copy_(_wide(weight) * columns)
        _rescale(statistics, columns.float())
    return replaced


def _scales(
    fold: Fold, weight: torch.Tensor, statistics: InputStatistics, recipe: Recipe
) -> torch.Tensor | None:
    if recipe.channel_scales == "awq":
        return awq_scales(fold, weight, statistics, recipe)
    if recipe.channel_scales == "smoothquant":
        return smoothquant_scales(fold, weight, statistics)
    return None


def _divide_norm(
    source: NormSource,
    scales: torch.Tensor,
    layer: ObservedLayer,
    replaced: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Divide a norm's weight; return by what it was divided once it is rounded as it is stored.

    So columns are multiplied by just that, and nothing is lost but their own rounding.
    """
    weight = source.norm.weight
    assert weight is not None
    offset = 1.0 if source.plus_one else 0.0
    before = _wide(weight).clone()
    stored = (before / scales - offset).to(layer.stored_dtype(source.name))
    after = stored.to(before.dtype) + offset
    # A channel that is zero, or would become so, stays as it was.
    usable = (before != 0) & (after != 0) & after.isfinite()
    stored = torch.where(usable, stored, (before - offset).to(stored.dtype))
    weight.copy_(torch.where(usable, after, before))
    replaced[source.name] = stored.cpu()
    return torch.where(usable, before / _wide(weight), 1.0)


def _divide_rows(
    source: RowSource, scales: torch.Tensor, layer: ObservedLayer, replaced: dict[str, torch.Tensor]
) -> None:
    """Divide rows of a projection, and their biases."""
    linear, divisors = source.linear, scales**source.power
    rows = linear.weight[source.rows]
    rows.copy_(_wide(rows) / divisors.unsqueeze(1))
    if linear.bias is None:
        return
    linear.bias[source.rows] /= divisors
    for prefix, start, end in linear.watch.site.parts():
        if end > source.rows.start:
            name = f"{prefix}.bias"
            bias = linear.bias[start:end]
            replaced[name] = bias.to(layer.stored_dtype(name)).cpu()
            bias.copy_(replaced[name])


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Return numbers in float32, or in their own type if that is wider."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _rescale(statistics: InputStatistics, columns: torch.Tensor) -> None:
    """Turn the statistics of inputs into those of inputs that are divided by ``columns``."""
    if statistics.hessian is not None:
        statistics.hessian.div_(columns).div_(columns.unsqueeze(1))
    statistics.square = statistics.square / columns.square()
    statistics.mean_abs = statistics.mean_abs / columns
    statistics.amax = statistics.amax / columns
    if statistics.sample is not None:
        statistics.sample = (statistics.sample.float() / columns).to(statistics.sample.dtype)
