"""Reading what stands before the first layer of a decoder and after the last."""

import torch

from localfp4.checkpoint.kinds import Dense, linear_kind
from localfp4.models.linear import Linear, make_linear
from localfp4.models.load_norm import load_norm
from localfp4.models.per_layer_input import PerLayerEmbedding
from localfp4.models.spec import DecoderSpec, PerLayerInputSpec
from localfp4.models.stored import StoredWeights
from localfp4.models.tying import shares_embedding


def load_embedding(stored: StoredWeights, spec: DecoderSpec) -> torch.Tensor:
    """Read the embedding of tokens, ``[V, H]``.

    Raises:
        CheckpointError: It is missing or has another shape than the spec wants.
    """
    return _table(stored, "model.embed_tokens", (spec.vocab_size, spec.hidden_size))


def load_per_layer_table(
    stored: StoredWeights, spec: DecoderSpec, inputs: PerLayerInputSpec
) -> torch.Tensor:
    """Read the table of the second embedding, ``[V, L d]``.

    Raises:
        CheckpointError: It is missing or has another shape than the spec wants.
    """
    shape = inputs.vocab_size, len(spec.layers) * inputs.size
    return _table(stored, "model.embed_tokens_per_layer", shape)


def load_per_layer(
    stored: StoredWeights, spec: DecoderSpec, inputs: PerLayerInputSpec, table: torch.Tensor
) -> PerLayerEmbedding:
    """Read the rest of the second embedding.

    Args:
        stored: Where it is.
        spec: The model.
        inputs: Widths of the embedding.
        table: ``[V, L d]``.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    width = len(spec.layers) * inputs.size
    return PerLayerEmbedding(
        table=table,
        projection=stored.linear(
            ["model.per_layer_model_projection"], [width], spec.hidden_size, bias=False
        ),
        norm=load_norm(stored, "model.per_layer_projection_norm", inputs.size, spec.norm),
        size=inputs.size,
        half=torch.full((1,), 0.5**0.5, device=stored.device),
        in_main_memory=stored.execution.target is not None,
    )


def load_head(stored: StoredWeights, spec: DecoderSpec, embedding: torch.Tensor) -> Linear:
    """Return the output projection; without one of its own the embedding serves.

    Raises:
        CheckpointError: It is missing or has another shape than the spec wants.
        UnsupportedModelError: It is stored in a format that is not supported.
    """
    if shares_embedding(stored.checkpoint):
        return make_linear(embedding.to(stored.dtype))
    return stored.linear(["lm_head"], [spec.vocab_size], spec.hidden_size, bias=False)


def _table(stored: StoredWeights, name: str, shape: tuple[int, int]) -> torch.Tensor:
    """Read an embedding; its rows are looked up, so a smaller stored type of 16 bits is kept.

    One of the compute type stays where it was read: a table of gigabytes is not copied.
    """
    kind = linear_kind(stored.checkpoint, name)
    info = stored.checkpoint.tensors.get(f"{name}.weight")
    if not isinstance(kind, Dense) or info is None or info.shape != shape:
        return stored.matrix(name, shape)
    table = stored.reader.read(f"{name}.weight")
    smaller = 1 < table.dtype.itemsize < stored.dtype.itemsize
    return table.to(stored.device, table.dtype if smaller else stored.dtype)
