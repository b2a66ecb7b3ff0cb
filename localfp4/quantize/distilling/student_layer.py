"""A layer whose rounded weights and norms are trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from localfp4.checkpoint.reader import TensorReader
from localfp4.models.cache import Cache
from localfp4.models.layer import Layer
from localfp4.models.modules import modules_of
from localfp4.models.spec import DecoderSpec
from localfp4.models.stream import TorchStream
from localfp4.quantize.distilling.straight_through import straight_through
from localfp4.quantize.distilling.trained_norms import TrainedNorm, block_norms, with_norms
from localfp4.quantize.distilling.trained_weights import TrainedWeight, train_weight
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.streaming.batches import Layout
from localfp4.quantize.streaming.experts import WatchedExperts
from localfp4.quantize.streaming.inputs import InputForm
from localfp4.quantize.streaming.observed import observe_layer
from localfp4.quantize.streaming.overlay import OverlaidReader
from localfp4.quantize.streaming.packed_codes import codes_of, tensors_of
from localfp4.quantize.streaming.solved import form_of
from localfp4.quantize.streaming.watched import WatchedLinear


@dataclass(frozen=True, slots=True)
class TrainedInput(InputForm):
    """An input whose rounding lets gradients through."""

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows ``x`` ``[T, K]`` in this form, in their type, with their gradient."""
        turned = rotate(x, self.rotation)
        if self.activations == "none":
            return turned
        exact = replace(self, rotation=0)
        with torch.no_grad():
            rounded = InputForm.of(exact, turned.detach())
        return straight_through(turned, rounded)


def straight(form: InputForm) -> TrainedInput:
    """Return the form of an input with its gradient."""
    return TrainedInput(form.rotation, form.activations, form.scale)


@dataclass(frozen=True, slots=True, eq=False)
class StudentLayer:
    """A layer in training.

    Attributes:
        result: What was decided for it before.
        decoder: The model that it belongs to.
        layer: What runs; its rounded weights are empty between two runs.
        weights: Of each rounded site, by its name.
        norms: Those around mixer and feed-forward network, by their names within the layer.
        dtype: Compute type.
    """

    result: LayerResult
    decoder: DecoderSpec
    layer: Layer
    weights: dict[str, TrainedWeight]
    norms: dict[str, TrainedNorm]
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The canonical name of the layer."""
        return f"model.layers.{self.result.index}"

    def changes(self) -> Iterator[torch.Tensor]:
        """Yield what is trained of scales and norms."""
        yield from (weight.change for weight in self.weights.values())
        yield from (norm.change for norm in self.norms.values())

    def latents(self) -> Iterator[torch.Tensor]:
        """Yield what is trained of weights."""
        for weight in self.weights.values():
            if weight.latent is not None:
                yield weight.latent

    def forward(
        self, x: torch.Tensor, layout: Layout, cache: Cache, part: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the stream ``[T, H]`` after the layer for ``x`` ``[T, H]`` before it.

        Args:
            x: Rows of all windows.
            layout: Of the windows.
            cache: Fresh; of the layer, or of the one whose keys and values it uses.
            part: ``[T, d]``, the layer's own embedding of the tokens.
        """
        norms = {name: norm.weight() for name, norm in self.norms.items()}
        spec = self.decoder.layers[self.result.index]
        _put(self.layer, {name: one.values().to(self.dtype) for name, one in self.weights.items()})
        stream = TorchStream(x)
        with_norms(self.layer, spec, norms).forward(
            stream, layout.batch, cache, layout.angles, self.decoder.residual_scale, part
        )
        nothing = x.new_empty(0)
        _put(self.layer, dict.fromkeys(self.weights, nothing))
        return stream.read(None)

    def settle(self) -> None:
        """Bring what is trained back into the range of its format."""
        for weight in self.weights.values():
            weight.settle()

    def trained(self) -> LayerResult:
        """Return what the layer became, on the CPU."""
        sites = tuple(
            replace(one, codes=on_device(self.weights[one.site.name].codes(), torch.device("cpu")))
            for one in self.result.sites
        )
        norms = {
            f"{self.name}.{name}.weight": norm.stored_weight().cpu()
            for name, norm in self.norms.items()
        }
        return LayerResult(self.result.index, sites, self.result.replaced | norms)


def load_student_layer(
    reader: TensorReader,
    decoder: DecoderSpec,
    result: LayerResult,
    recipe: Recipe,
    dtype: torch.dtype,
    device: torch.device,
) -> StudentLayer:
    """Read a layer as it was rounded, to be trained.

    Args:
        reader: Of the original.
        decoder: The model.
        result: What was decided for the layer.
        recipe: What is trained, and the width of activations.
        dtype: Compute type.
        device: Where it goes.

    Raises:
        CheckpointError: A tensor is missing or damaged.
    """
    name = f"model.layers.{result.index}"
    overlaid = OverlaidReader(reader, result.replaced)
    chosen = frozenset(prefix for one in result.sites for prefix in one.site.prefixes)
    observed = observe_layer(overlaid, decoder, result.index, chosen, dtype, device)
    what = recipe.distil or "scales"
    # Weights with folded scales are not those of the file, so that codes are the best guess.
    has_originals = what == "all" and recipe.channel_scales == "none"
    weights = {}
    for one in result.sites:
        original = rotate(observed.weights(one.site), one.rotation) if has_originals else None
        weights[one.site.name] = train_weight(on_device(one.codes, device), what, original)
        observed.watches[one.site.name].form = straight(form_of(one, recipe.precision, device))
    norms = {
        norm_name: TrainedNorm.of(
            overlaid.read(f"{name}.{norm_name}.weight"), norm, plus_one=decoder.norm.plus_one
        )
        for norm_name, norm in block_norms(observed.layer, observed.spec)
        if norm.weight is not None
    }
    student = StudentLayer(result, decoder, observed.layer, weights, norms, dtype)
    _put(observed.layer, dict.fromkeys(weights, torch.empty(0, dtype=dtype, device=device)))
    return student


def _put(layer: Layer, weights: dict[str, torch.Tensor]) -> None:
    """Let a layer compute with other weights, by the names of sites."""
    for module in modules_of(layer):
        if isinstance(module, WatchedLinear) and module.watch.site.name in weights:
            module.weight = weights[module.watch.site.name]
        elif isinstance(module, WatchedExperts):
            for watches, place in ((module.up_watches, "up"), (module.down_watches, "down")):
                found = [weights[one.site.name] for one in watches if one.site.name in weights]
                if found:  # all of them: experts of a layer share a format
                    setattr(module, place, torch.stack(found))


def on_device(codes: Codes, device: torch.device) -> Codes:
    """Return codes whose tensors are on a device."""
    kind, tensors = tensors_of(codes)
    return codes_of(kind, {name: tensor.to(device) for name, tensor in tensors.items()})
