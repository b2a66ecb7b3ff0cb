"""A layer of a 16-bit model whose linears can be looked at and replaced, of whatever family."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.reader import TORCH_DTYPES, TensorReader
from localfp4.models.execution import TORCH
from localfp4.models.expert_names import expert_prefixes
from localfp4.models.experts import TorchExperts
from localfp4.models.feed_forward import Experts, Moe, ParallelMoe
from localfp4.models.layer import Layer
from localfp4.models.linear import DenseLinear, Linear
from localfp4.models.load_layer import load_layer
from localfp4.models.spec import DecoderSpec, LayerSpec
from localfp4.models.split_linear import SplitLinear
from localfp4.models.stored import StoredWeights
from localfp4.quantize.sites import Site
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming.experts import WatchedExperts
from localfp4.quantize.streaming.inputs import Watch
from localfp4.quantize.streaming.watched import WatchedLinear


class ObservedWeights(StoredWeights):
    """Reads weights in the compute type, and keeps an eye on those that are quantised.

    Attributes:
        chosen: Names of the linears that are quantised.
        watches: What stands before each site, by the site's name.
        weights: ``[N, K]`` of every site, in the compute type, by the site's name: the very memory
            that the layer computes with.
        sites: In the order in which they were read.
        latents: What stands before the maps of latent attention, which multiply its latents.
    """

    def __init__(
        self,
        reader: TensorReader,
        dtype: torch.dtype,
        device: torch.device,
        chosen: frozenset[str],
    ) -> None:
        """Take what reads, and the names of the linears that are quantised."""
        super().__init__(reader, dtype, device, TORCH)
        self.chosen = chosen
        self.watches: dict[str, Watch] = {}
        self.weights: dict[str, torch.Tensor] = {}
        self.sites: list[Site] = []
        self.latents: Watch | None = None

    def linear(
        self, prefixes: Sequence[str], rows: Sequence[int], columns: int, *, bias: bool
    ) -> Linear:
        """Read linears that take the same input; those that are quantised are watched."""
        parts: list[Linear] = []
        named = zip(prefixes, rows, strict=True)
        for is_chosen, run in groupby(named, lambda part: part[0] in self.chosen):
            names, sizes = zip(*run, strict=True)
            weight = self._merged(names, sizes, columns)
            merged_bias = self._bias(names, sizes) if bias else None
            if is_chosen:
                watch = self.watch(Site(names, sizes, columns), weight)
                parts.append(WatchedLinear(watch, weight, merged_bias))
            else:
                parts.append(DenseLinear(weight, merged_bias))
        return parts[0] if len(parts) == 1 else SplitLinear(tuple(parts))

    def matrix(
        self, prefix: str, shape: tuple[int, int], dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Read one matrix; where it is quantised, only the cache shows its input."""
        weight = super().matrix(prefix, shape, dtype)
        if prefix in self.chosen:
            self.latents = self.watch(Site((prefix,), shape[:1], shape[1]), weight)
        return weight

    def watch(self, site: Site, weight: torch.Tensor) -> Watch:
        """Add a site."""
        self.sites.append(site)
        self.weights[site.name] = weight
        self.watches[site.name] = watch = Watch(site)
        return watch

    def _bias(self, prefixes: Iterable[str], rows: Iterable[int]) -> torch.Tensor:
        named = zip(prefixes, rows, strict=True)
        return torch.cat([self.vector(f"{prefix}.bias", size) for prefix, size in named])


@dataclass(slots=True, eq=False)
class ObservedLayer:
    """A layer on the device in 16 bits.

    Attributes:
        index: Of the layer.
        name: Its canonical name, such as ``model.layers.0``.
        spec: What it is.
        decoder: The model that it belongs to.
        layer: What runs. Linears that are quantised are :class:`WatchedLinear`, experts are
            :class:`WatchedExperts`.
        sites: What is quantised.
        statistics: What is known of the inputs of sites, by their names.
        watches: What stands before each site, by its name.
        weights_by_site: ``[N, K]`` of every site, by its name.
        latents: What stands before the maps of latent attention. They are multiplied head by head
            and never see a row, so that whoever runs the layer shows what it cached.
        experts: Of its mixture, if it has one.
        checkpoint: Where it was read.
    """

    index: int
    name: str
    spec: LayerSpec
    decoder: DecoderSpec
    layer: Layer
    sites: tuple[Site, ...]
    watches: Mapping[str, Watch]
    weights_by_site: Mapping[str, torch.Tensor]
    checkpoint: Checkpoint
    latents: Watch | None = None
    experts: WatchedExperts | None = None
    statistics: dict[str, InputStatistics] = field(default_factory=dict)

    def weights(self, site: Site) -> torch.Tensor:
        """Return the weights of a site, ``[N, K]`` in the compute type.

        It is the memory that the layer computes with: ``copy_`` and ``mul_`` change the layer.
        """
        return self.weights_by_site[site.name]

    def part(self, prefix: str) -> torch.Tensor:
        """Return the rows of one linear of a site, the memory that the layer computes with.

        Raises:
            KeyError: No site has a linear of that name.
        """
        for site in self.sites:
            for name, start, end in site.parts():
                if name == prefix:
                    return self.weights(site)[start:end]
        raise KeyError(prefix)

    def stored_dtype(self, name: str) -> torch.dtype:
        """Return the type in which a tensor of the checkpoint is stored, by its canonical name.

        The weight of an expert has that of the tensor for all of them, where there is one.
        """
        info = self.checkpoint.tensors.get(name)
        if info is None:
            module, is_expert, _ = name.partition(".experts.")
            stack = f"{module}.experts." if is_expert else name
            info = next(one for key, one in self.checkpoint.tensors.items() if stack in key)
        return TORCH_DTYPES[info.dtype]


def observe_layer(
    reader: TensorReader,
    spec: DecoderSpec,
    index: int,
    chosen: frozenset[str],
    dtype: torch.dtype,
    device: torch.device,
) -> ObservedLayer:
    """Read a layer.

    Args:
        reader: Of a model in 16 bits.
        spec: The model.
        index: Of the layer.
        chosen: Names of the linears that are quantised.
        dtype: Compute type.
        device: Where it goes.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    name = f"model.layers.{index}"
    stored = ObservedWeights(reader, dtype, device, chosen)
    layer, experts = _watched_experts(
        load_layer(stored, name, spec.layers[index], spec), stored, name
    )
    return ObservedLayer(
        index=index,
        name=name,
        spec=spec.layers[index],
        decoder=spec,
        layer=layer,
        sites=tuple(stored.sites),
        watches=stored.watches,
        weights_by_site=stored.weights,
        checkpoint=stored.checkpoint,
        latents=stored.latents,
        experts=experts,
    )


def _watched_experts(
    layer: Layer, stored: ObservedWeights, name: str
) -> tuple[Layer, WatchedExperts | None]:
    """Put watched experts in place of plain ones, if there are any."""
    match layer.feed_forward:
        case Moe() as moe:
            experts = _watched(moe.experts, stored, f"{name}.mlp")
            return replace(layer, feed_forward=replace(moe, experts=experts)), experts
        case ParallelMoe() as both:
            experts = _watched(both.moe.experts, stored, f"{name}.moe")
            moe = replace(both.moe, experts=experts)
            return replace(layer, feed_forward=replace(both, moe=moe)), experts
    return layer, None


def _watched(plain: Experts, stored: ObservedWeights, module: str) -> WatchedExperts:
    if not isinstance(plain, TorchExperts):
        raise TypeError("experts must be plain to be watched")
    parts = ("gate", "up") if plain.up.shape[1] > plain.down.shape[2] else ("up",)
    return WatchedExperts(
        up_watches=_expert_watches(stored, module, parts, plain.up),
        down_watches=_expert_watches(stored, module, ("down",), plain.down),
        up=plain.up,
        down=plain.down,
        activation=plain.activation,
        up_bias=plain.up_bias,
        down_bias=plain.down_bias,
    )


def _expert_watches(
    stored: ObservedWeights, module: str, parts: Sequence[str], stack: torch.Tensor
) -> list[Watch]:
    """Add the sites of one product of all experts, weights ``[E, N, K]``, as far as chosen."""
    watches = []
    prefixes = expert_prefixes(stored.checkpoint, module, len(stack), parts)
    for expert, (names, weight) in enumerate(zip(prefixes, stack, strict=True)):
        rows, columns = weight.shape
        site = Site(tuple(names), (rows // len(names),) * len(names), columns, expert)
        watches.append(stored.watch(site, weight) if names[0] in stored.chosen else Watch(site))
    return watches
