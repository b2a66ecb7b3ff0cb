"""Rounding an output projection that has a weight of its own."""

from collections.abc import Generator

import torch

from localfp4.checkpoint.reader import TORCH_DTYPES, TensorReader
from localfp4.models.spec import DecoderSpec
from localfp4.quantize.results import LayerResult
from localfp4.quantize.sites import HEAD
from localfp4.quantize.streaming.ends import load_output
from localfp4.quantize.streaming.gathering import Gathering
from localfp4.quantize.streaming.one_layer import Calibration, Doing, wish_of
from localfp4.quantize.streaming.solved import Formats, format_of, solve_site
from localfp4.quantize.streaming.steps import READING, Means, looking, rounding


def quantise_head(
    reader: TensorReader,
    spec: DecoderSpec,
    calibration: Calibration | None,
    means: Means,
    formats: Formats,
    dtype: torch.dtype,
    device: torch.device,
) -> Generator[Doing, None, LayerResult]:
    """Round the output projection.

    Args:
        reader: Of the model, in 16 bits.
        spec: The model.
        calibration: What the last layer gave; ``None`` where nothing is looked at.
        means: How.
        formats: What linears become that the recipe does not decide about.
        dtype: Compute type.
        device: Where it is rounded.

    Yields:
        Each step that is done.

    Raises:
        CheckpointError: It is missing, has another shape, or is not finite.
        SolveError: Its inputs cannot be used.
    """
    output = load_output(reader, spec, frozenset((HEAD,)), dtype, device)
    yield READING, "reading"
    site, watch, weight = output.quantised
    statistics = None
    if calibration is not None:
        watch.gathering = Gathering(site.columns, wish_of(means), device)
        for windows in calibration.batches:
            x = calibration.activations.hidden[windows].to(device).flatten(0, 1)
            watch.gathering.add(output.norm.forward(x))
            yield looking(len(x)), "looking at its inputs"
        statistics = watch.statistics()
    stored = TORCH_DTYPES[reader.checkpoint.tensors[f"{HEAD}.weight"].dtype]
    format = format_of(site, means.recipe, formats) or means.recipe.format
    solved = solve_site(weight, stored, site, statistics, format, means.recipe)
    yield rounding(site, hessian=means.hessian), "rounding"
    return LayerResult(len(spec.layers), (solved,))
