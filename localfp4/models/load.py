"""Building a decoder from a checkpoint: names to modules, stored weights to the compute type.

One tensor is in memory beside its destination at a time, so that loading peaks just above what
stays resident. Names are the canonical ones of :mod:`localfp4.checkpoint.text_part`.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.open_reader import open_outline_reader, open_reader
from localfp4.checkpoint.reader import TensorReader
from localfp4.messages import LoadProgress
from localfp4.models.decoder import Decoder
from localfp4.models.execution import TORCH, Execution
from localfp4.models.layer import Layer
from localfp4.models.load_ends import (
    load_embedding,
    load_head,
    load_per_layer,
    load_per_layer_table,
)
from localfp4.models.load_layer import load_layer
from localfp4.models.load_mtp import load_mtp
from localfp4.models.load_norm import load_norm
from localfp4.models.per_layer_input import PerLayerEmbedding
from localfp4.models.pinned import locked_copy
from localfp4.models.placement import Placement
from localfp4.models.rope import rope_frequencies
from localfp4.models.spec import AttentionSpec, DecoderSpec, MlaSpec, PerLayerInputSpec, RopeSpec
from localfp4.models.stored import StoredWeights

WHOLE = Placement()
"""Everything on the device."""


def load_decoder(
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    dtype: torch.dtype,
    device: torch.device,
    execution: Execution = TORCH,
    context: int = 0,
    placement: Placement = WHOLE,
    order: Sequence[str] = (),
) -> Generator[LoadProgress, None, Decoder]:
    """Read all weights, yielding progress after each layer, and return the decoder.

    Args:
        checkpoint: Where they are.
        spec: What the model is.
        dtype: Compute type.
        device: Where they go.
        execution: What runs; kernels keep quantised weights as they are stored.
        context: Longest context that will be run, in tokens.
        placement: What lies in main memory; plain torch has everything on the device.
        order: What an outline says of the order in which tensors are asked for: they are read
            while earlier ones are packed and copied.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        ContextError: There is not enough main memory for what is placed there.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    with open_reader(checkpoint, device, order) as reader:
        return (yield from _load(reader, spec, dtype, device, execution, context, placement))


def outline_decoder(
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    dtype: torch.dtype,
    execution: Execution,
    placement: Placement = WHOLE,
) -> Decoder:
    """Return the decoder with tensors that have shapes and no memory; see :func:`outline`."""
    return outline(checkpoint, spec, dtype, execution, placement).decoder


@dataclass(frozen=True, slots=True)
class Outline:
    """A decoder without values.

    Attributes:
        decoder: Its tensors have shapes and no memory.
        order: Names of tensors in the order in which loading asks for them.
    """

    decoder: Decoder
    order: tuple[str, ...]


def outline(
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    dtype: torch.dtype,
    execution: Execution,
    placement: Placement = WHOLE,
) -> Outline:
    """Return the outline of a decoder, from the headers alone.

    Its size is exact, and running it shows which kernels the model launches.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    with open_outline_reader(checkpoint) as reader:
        loading = _load(reader, spec, dtype, torch.device("meta"), execution, 0, placement)
        while True:
            try:
                next(loading)
            except StopIteration as finished:
                return Outline(finished.value, tuple(reader.names))


def _load(
    reader: TensorReader,
    spec: DecoderSpec,
    dtype: torch.dtype,
    device: torch.device,
    execution: Execution,
    context: int,
    placement: Placement,
) -> Generator[LoadProgress, None, Decoder]:
    total = reader.checkpoint.total_bytes
    stored = StoredWeights(reader, dtype, device, execution)
    yield LoadProgress("reading weights", reader.bytes_read, total)
    embedding = load_embedding(stored, spec)
    per_layer = None
    if spec.per_layer_input is not None:
        per_layer = _per_layer_embedding(stored, spec, spec.per_layer_input)
    layers = []
    settle = _settling(placement, spec, device, execution)
    for index, layer in enumerate(spec.layers):
        layers.append(settle(load_layer(stored, f"model.layers.{index}", layer, spec), index))
        yield LoadProgress("reading weights", reader.bytes_read, total)
    decoder = Decoder(
        spec=spec,
        embedding=embedding,
        embedding_scale=torch.tensor(spec.embedding_scale, dtype=dtype).item(),
        layers=tuple(layers),
        norm=load_norm(stored, "model.norm", spec.hidden_size, spec.norm),
        head=load_head(stored, spec, embedding),
        frequencies={rope: rope_frequencies(rope, device, context) for rope in ropes(spec)},
        execution=execution,
        dtype=dtype,
        per_layer=per_layer,
        mtp=load_mtp(stored, spec),
    )
    # Tensors that nothing needs, such as scales of activations, were not read.
    yield LoadProgress("reading weights", total, total)
    return decoder


def _settling(
    placement: Placement, spec: DecoderSpec, device: torch.device, execution: Execution
) -> Callable[[Layer, int], Layer]:
    """Return what puts a layer's weights where they belong, once they are loaded."""
    if placement.is_whole or execution.target is None:
        return lambda layer, _: layer
    # Triton takes a while to import, and only kernels need it.
    from localfp4.models.residence import Residence

    return Residence(placement, len(spec.layers), device).settle


def _per_layer_embedding(
    stored: StoredWeights, spec: DecoderSpec, inputs: PerLayerInputSpec
) -> PerLayerEmbedding:
    """Read the second embedding; its table stays in main memory where kernels read it there."""
    if stored.device.type == "cuda" and stored.execution.target is not None:
        beside = StoredWeights(stored.reader, stored.dtype, torch.device("cpu"), stored.execution)
        table = locked_copy(load_per_layer_table(beside, spec, inputs))
    else:
        table = load_per_layer_table(stored, spec, inputs)
    return load_per_layer(stored, spec, inputs, table)


def ropes(spec: DecoderSpec) -> set[RopeSpec]:
    """Return the distinct rotary embeddings of a model."""
    mixers = (layer.mixer for layer in (*spec.layers, *spec.mtp))
    return {mixer.rope for mixer in mixers if isinstance(mixer, AttentionSpec | MlaSpec)}
