"""What is on the device while a layer is quantised; torch-free."""

from collections.abc import Iterable, Sequence

from localfp4.config import EngineConfig
from localfp4.models.plan.workspace import widths_of, workspace_bytes
from localfp4.models.spec import DecoderSpec
from localfp4.quantize.planning.steps import step_tokens
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.rounding.limits import (
    GPTQ_BYTES,
    GPTQ_WEIGHTS,
    NEAREST_BYTES,
    NEAREST_WEIGHTS_GPU,
)
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.rounds import hessian_bytes

_FLOAT = 4

_CODE_BYTES = 0.6
"""Of a weight's code and its part of a scale."""

_LIBRARIES = 256 * 2**20
"""Allowed for what cuBLAS and cuSOLVER take, and for what PyTorch's allocator rounds up."""

_COPY_BYTES = 8
"""Of a weight that is rotated, or whose channels are scaled by way of trial, in float32, twice."""


def step_bytes(
    spec: DecoderSpec, sites: Iterable[Site], length: int, dtype: str, device: str
) -> int:
    """Return what some windows take while they pass a layer whose inputs are watched.

    Rows before the widest site are there in float32 while they are summed up.

    Args:
        spec: The model.
        sites: All of its sites.
        length: Tokens of a window.
        dtype: Compute type.
        device: ``cpu`` or ``cuda``.
    """
    tokens = step_tokens(length, device)
    config = EngineConfig("", max_step_tokens=tokens, max_batch=1, cuda_graphs=False)
    passing = workspace_bytes(
        widths_of(spec), config, dtype, tokens, on_gpu=device == "cuda", has_kernels=False
    )
    widest = max((site.columns for site in sites), default=0)
    return passing + 3 * _FLOAT * tokens * widest


def solving_bytes(layers: Sequence[Sequence[Site]], recipe: Recipe, device: str) -> int:
    """Return the most that rounding takes beside weights and Hessians: one site, and all codes."""
    most = max((_solving(sites, recipe) for sites in layers), default=0)
    return most + (_LIBRARIES if device == "cuda" else 0)


def _solving(sites: Sequence[Site], recipe: Recipe) -> int:
    codes = int(sum(site.weights for site in sites) * _CODE_BYTES)
    return codes + max((_solving_one(site, recipe) for site in sites), default=0)


def _solving_one(site: Site, recipe: Recipe) -> int:
    copies = site.weights * _COPY_BYTES if recipe.rotation or recipe.channel_scales != "none" else 0
    if recipe.rounding.solver == "rtn":
        return copies + min(site.weights, NEAREST_WEIGHTS_GPU) * NEAREST_BYTES
    # First the Hessian in the order of the solver and its factor, then the factor and some rows.
    hessian, rows = hessian_bytes(site), min(site.weights, GPTQ_WEIGHTS) * GPTQ_BYTES
    return copies + max(2 * hessian, hessian + rows)
