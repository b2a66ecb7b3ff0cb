"""Building a decoder from a checkpoint: names to modules, stored weights to the compute type.

One tensor is in memory beside its destination at a time, so that loading peaks just above what
stays resident.
"""

import math
from collections.abc import Generator

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import Dense, linear_kind
from localfp4.checkpoint.reader import OutlineReader, TensorReader
from localfp4.errors import CheckpointError
from localfp4.messages import LoadProgress
from localfp4.models.attention import Attend, Attention
from localfp4.models.decoder import Decoder, Layer
from localfp4.models.execution import TORCH, Execution
from localfp4.models.feed_forward import Mlp, Moe
from localfp4.models.linear import Linear, make_linear
from localfp4.models.load_experts import load_experts
from localfp4.models.rope import rope_frequencies
from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, MoeSpec
from localfp4.models.stored import StoredWeights
from localfp4.models.torch_attention import TorchAttention


def load_decoder(
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    dtype: torch.dtype,
    device: torch.device,
    execution: Execution = TORCH,
) -> Generator[LoadProgress, None, Decoder]:
    """Read all weights, yielding progress after each layer, and return the decoder.

    Args:
        checkpoint: Where they are.
        spec: What the model is.
        dtype: Compute type.
        device: Where they go.
        execution: What runs; kernels keep quantised weights as they are stored.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    with TensorReader(checkpoint) as reader:
        return (yield from _load(reader, spec, dtype, device, execution))


def outline_decoder(
    checkpoint: Checkpoint, spec: DecoderSpec, dtype: torch.dtype, execution: Execution
) -> Decoder:
    """Return the decoder with tensors that have shapes and no memory, from the headers alone.

    Its size is exact, and running it shows which kernels the model launches.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    with OutlineReader(checkpoint) as reader:
        loading = _load(reader, spec, dtype, torch.device("meta"), execution)
        while True:
            try:
                next(loading)
            except StopIteration as finished:
                decoder: Decoder = finished.value
                return decoder


def _load(
    reader: TensorReader,
    spec: DecoderSpec,
    dtype: torch.dtype,
    device: torch.device,
    execution: Execution,
) -> Generator[LoadProgress, None, Decoder]:
    total = reader.checkpoint.total_bytes
    stored = StoredWeights(reader, dtype, device, execution)
    load = _Loader(stored)
    yield LoadProgress("reading weights", reader.bytes_read, total)
    embedding = load.embedding(spec)
    layers = []
    for index, layer in enumerate(spec.layers):
        layers.append(load.layer(f"model.layers.{index}", layer, spec))
        yield LoadProgress("reading weights", reader.bytes_read, total)
    decoder = Decoder(
        spec=spec,
        embedding=embedding,
        layers=tuple(layers),
        norm=stored.vector("model.norm.weight", spec.hidden_size),
        head=load.head(spec, embedding),
        frequencies={
            rope: rope_frequencies(rope, device)
            for rope in {layer.attention.rope for layer in spec.layers}
        },
        execution=execution,
    )
    # Tensors that nothing needs, such as scales of activations, were not read.
    yield LoadProgress("reading weights", total, total)
    return decoder


def shares_embedding(checkpoint: Checkpoint) -> bool:
    """Say whether the embedding serves as the output projection.

    The tensors decide: exporters leave a stale flag beside a head of its own.

    Raises:
        CheckpointError: There is no head, and the config does not say that the embedding is one.
    """
    if any(name.startswith("lm_head.") for name in checkpoint.tensors):
        return False
    holders = (checkpoint.config, checkpoint.config.get("text_config") or {})
    if not any(holder.get("tie_word_embeddings") for holder in holders):
        raise CheckpointError(
            "The checkpoint has no lm_head.weight, and its config.json does not tie the output to "
            "the embedding; download it again."
        )
    return True


class _Loader:
    """Builds modules by their names in the checkpoint."""

    def __init__(self, stored: StoredWeights) -> None:
        self._stored = stored

    def layer(self, name: str, layer: LayerSpec, spec: DecoderSpec) -> Layer:
        hidden = spec.hidden_size
        return Layer(
            attention_norm=self._stored.vector(f"{name}.input_layernorm.weight", hidden),
            attention=self._attention(f"{name}.self_attn", layer.attention, spec),
            feed_forward_norm=self._stored.vector(
                f"{name}.post_attention_layernorm.weight", hidden
            ),
            feed_forward=self._feed_forward(f"{name}.mlp", layer.feed_forward, hidden),
        )

    def embedding(self, spec: DecoderSpec) -> torch.Tensor:
        """Read the embedding; its rows are looked up, so a smaller stored type is kept."""
        stored, shape = self._stored, (spec.vocab_size, spec.hidden_size)
        kind = linear_kind(stored.checkpoint, "model.embed_tokens")
        info = stored.checkpoint.tensors.get("model.embed_tokens.weight")
        if not isinstance(kind, Dense) or info is None or info.shape != shape:
            return stored.matrix("model.embed_tokens", shape)
        if info.nbytes >= math.prod(shape) * stored.dtype.itemsize:
            return stored.matrix("model.embed_tokens", shape)
        return stored.reader.read(info.name).to(stored.device)

    def head(self, spec: DecoderSpec, embedding: torch.Tensor) -> Linear:
        """Return the output projection; without one of its own the embedding serves."""
        if shares_embedding(self._stored.checkpoint):
            return make_linear(embedding.to(self._stored.dtype))
        return self._stored.linear(["lm_head"], [spec.vocab_size], spec.hidden_size, bias=False)

    def _attention(self, name: str, attention: AttentionSpec, spec: DecoderSpec) -> Attention:
        query = attention.heads * attention.head_dim
        key = attention.kv_heads * attention.head_dim
        return Attention(
            spec=attention,
            qkv=self._stored.linear(
                [f"{name}.{part}_proj" for part in "qkv"],
                [query, key, key],
                spec.hidden_size,
                bias=attention.qkv_bias,
            ),
            out=self._stored.linear(
                [f"{name}.o_proj"], [spec.hidden_size], query, bias=attention.out_bias
            ),
            qk_norm=self._qk_norm(name, attention) if attention.qk_norm else None,
            norm_eps=spec.norm_eps,
            attend=self._attend(),
        )

    def _attend(self) -> Attend:
        target = self._stored.execution.target
        if target is None:
            return TorchAttention()
        # Triton takes a while to import, and only kernels need it.
        from localfp4.models.kernel_attention import KernelAttention

        return KernelAttention(target)

    def _qk_norm(self, name: str, attention: AttentionSpec) -> torch.Tensor:
        q, k = (
            self._stored.vector(f"{name}.{part}_norm.weight", attention.head_dim) for part in "qk"
        )
        return torch.cat((q.expand(attention.heads, -1), k.expand(attention.kv_heads, -1)))

    def _feed_forward(self, name: str, spec: MlpSpec | MoeSpec, hidden: int) -> Mlp | Moe:
        stored, size = self._stored, spec.intermediate_size
        if isinstance(spec, MlpSpec):
            parts = [f"{name}.gate_proj", f"{name}.up_proj"]
            return Mlp(
                gate_up=stored.linear(parts, [size, size], hidden, bias=spec.bias),
                down=stored.linear([f"{name}.down_proj"], [hidden], size, bias=spec.bias),
            )
        return Moe(
            router=make_linear(stored.matrix(f"{name}.gate", (spec.experts, hidden))),
            experts=load_experts(stored, name, spec, hidden),
        )
