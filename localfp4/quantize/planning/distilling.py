"""What training a rounded model against its original takes on the device; torch-free.

The rounded model is there as a whole, with AdamW's state of what is trained. One segment of layers
at a time is expanded and keeps what its gradients need.
"""

from localfp4.models.cache_bytes import ELEMENT_BYTES
from localfp4.models.plan.workspace import token_width
from localfp4.models.spec import DecoderSpec
from localfp4.quantize.distilling.segments import segments_of
from localfp4.quantize.planning.sites import QuantisedSites
from localfp4.quantize.recipe import Recipe

_STATE_BYTES = 16
"""Of a trained number: itself, its gradient and two moments, in float32."""

_GROUPS = {"nvfp4": 16, "mxfp4": 32}
"""Weights to a scale."""

_EXPANDED_BYTES = 18
"""Of a weight while its layer runs: levels, what scales make of them, both rounded and in float32,
and the gradient."""

_KEPT_STEPS = 3
"""How often a layer's widest moment is there: for the gradient, rounded, and as the gradient."""

_LOGITS = 2**25
_LOGIT_BYTES = 24
"""So many logits are there at once, of both models, with their exponentials and gradients."""


def distilling_bytes(
    spec: DecoderSpec,
    sites: QuantisedSites,
    recipe: Recipe,
    *,
    quantised_bytes: int,
    length: int,
    dtype: str,
) -> int:
    """Return what training takes on the device.

    Args:
        spec: The model.
        sites: What is rounded.
        recipe: What of it is trained.
        quantised_bytes: Size of what is rounded.
        length: Tokens of a window, of which one is learned from at a time.
        dtype: Compute type.
    """
    element = ELEMENT_BYTES[dtype]
    weights = [sum(site.weights for site in layer) for layer in sites.layers[:-1]]
    trained = sum(weights) // _GROUPS.get(recipe.format, 1)
    if recipe.distil == "all":
        trained += sum(weights)
    heads = (2 if sites.layers[-1] else 1) * spec.vocab_size * spec.hidden_size * element
    resident = quantised_bytes + trained * _STATE_BYTES + heads
    segment = max((sum(weights[index] for index in one) for one in segments_of(spec)), default=0)
    streams = len(spec.layers) * length * spec.hidden_size * element
    passing = _KEPT_STEPS * length * token_width(spec) * element
    return resident + segment * _EXPANDED_BYTES + streams + passing + _LOGITS * _LOGIT_BYTES
