"""Building a decoder from a checkpoint: names to modules, stored weights to the compute type.

One tensor is in memory beside its destination at a time, so that loading peaks just above what
stays resident.
"""

from collections.abc import Generator, Sequence

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import DENSE_DTYPES, Dense, linear_kind, linear_shape
from localfp4.checkpoint.reader import TensorReader, nvfp4_parts
from localfp4.errors import CheckpointError, UnsupportedModelError
from localfp4.messages import LoadProgress
from localfp4.models.attention import Attention
from localfp4.models.decoder import Decoder, Layer
from localfp4.models.feed_forward import Mlp, Moe
from localfp4.models.linear import Linear, make_linear
from localfp4.models.rope import rope_frequencies
from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, MoeSpec
from localfp4_kernels.formats.nvfp4 import Nvfp4Weight, dequantize_nvfp4_torch


def load_decoder(
    checkpoint: Checkpoint, spec: DecoderSpec, dtype: torch.dtype, device: torch.device
) -> Generator[LoadProgress, None, Decoder]:
    """Read all weights, yielding progress after each layer, and return the decoder.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    with TensorReader(checkpoint) as reader:
        load = _Loader(reader, dtype, device)

        def progress() -> LoadProgress:
            return LoadProgress("reading weights", reader.bytes_read, checkpoint.total_bytes)

        yield progress()
        embedding = load.embedding(spec)
        layers = []
        for index, layer in enumerate(spec.layers):
            layers.append(load.layer(f"model.layers.{index}", layer, spec))
            yield progress()
        decoder = Decoder(
            spec=spec,
            embedding=embedding,
            layers=tuple(layers),
            norm=load.vector("model.norm.weight", spec.hidden_size),
            head=load.head(spec, embedding),
            frequencies={
                rope: rope_frequencies(rope, device)
                for rope in {layer.attention.rope for layer in spec.layers}
            },
        )
        # Tensors that nothing needs, such as scales of activations, were not read.
        yield LoadProgress("reading weights", checkpoint.total_bytes, checkpoint.total_bytes)
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
    """Reads modules by their names in the checkpoint."""

    def __init__(self, reader: TensorReader, dtype: torch.dtype, device: torch.device) -> None:
        self._reader = reader
        self._checkpoint = reader.checkpoint
        self._dtype = dtype
        self._device = device

    def layer(self, name: str, layer: LayerSpec, spec: DecoderSpec) -> Layer:
        hidden = spec.hidden_size
        return Layer(
            attention_norm=self.vector(f"{name}.input_layernorm.weight", hidden),
            attention=self._attention(f"{name}.self_attn", layer.attention, spec),
            feed_forward_norm=self.vector(f"{name}.post_attention_layernorm.weight", hidden),
            feed_forward=self._feed_forward(f"{name}.mlp", layer.feed_forward, hidden),
        )

    def embedding(self, spec: DecoderSpec) -> torch.Tensor:
        """Read the embedding; its rows are looked up, so a smaller stored type is kept."""
        shape = (spec.vocab_size, spec.hidden_size)
        kind = linear_kind(self._checkpoint, "model.embed_tokens")
        stored = self._checkpoint.tensors.get("model.embed_tokens.weight")
        if not isinstance(kind, Dense) or stored is None or stored.shape != shape:
            return self._matrix("model.embed_tokens", shape)
        if stored.nbytes >= self._nbytes(shape):
            return self._matrix("model.embed_tokens", shape)
        return self._reader.read(stored.name).to(self._device)

    def head(self, spec: DecoderSpec, embedding: torch.Tensor) -> Linear:
        """Return the output projection; without one of its own the embedding serves."""
        if shares_embedding(self._checkpoint):
            return make_linear(embedding.to(self._dtype))
        return make_linear(self._matrix("lm_head", (spec.vocab_size, spec.hidden_size)))

    def vector(self, name: str, size: int) -> torch.Tensor:
        """Read a one-dimensional tensor."""
        info = self._checkpoint.tensors.get(name)
        if info is not None and info.shape != (size,):
            raise _misfit(name, info.shape, (size,))
        return self._reader.read(name).to(self._device, self._dtype)

    def _nbytes(self, shape: tuple[int, int]) -> int:
        return shape[0] * shape[1] * self._dtype.itemsize

    def _matrix(self, prefix: str, shape: tuple[int, int]) -> torch.Tensor:
        """Read one linear or embedding, ``[N, K]``."""
        return self._merged([prefix], [shape[0]], shape[1])

    def _attention(self, name: str, attention: AttentionSpec, spec: DecoderSpec) -> Attention:
        query = attention.heads * attention.head_dim
        key = attention.kv_heads * attention.head_dim
        return Attention(
            spec=attention,
            qkv=self._linear(
                [f"{name}.{part}_proj" for part in "qkv"],
                [query, key, key],
                spec.hidden_size,
                bias=attention.qkv_bias,
            ),
            out=self._linear(
                [f"{name}.o_proj"], [spec.hidden_size], query, bias=attention.out_bias
            ),
            qk_norm=self._qk_norm(name, attention) if attention.qk_norm else None,
            norm_eps=spec.norm_eps,
        )

    def _qk_norm(self, name: str, attention: AttentionSpec) -> torch.Tensor:
        q, k = (self.vector(f"{name}.{part}_norm.weight", attention.head_dim) for part in "qk")
        return torch.cat((q.expand(attention.heads, -1), k.expand(attention.kv_heads, -1)))

    def _feed_forward(self, name: str, spec: MlpSpec | MoeSpec, hidden: int) -> Mlp | Moe:
        size = spec.intermediate_size
        if isinstance(spec, MlpSpec):
            parts = [f"{name}.gate_proj", f"{name}.up_proj"]
            return Mlp(
                gate_up=self._linear(parts, [size, size], hidden, bias=spec.bias),
                down=self._linear([f"{name}.down_proj"], [hidden], size, bias=spec.bias),
            )
        return Moe(
            router=make_linear(self._matrix(f"{name}.gate", (spec.experts, hidden))),
            gate_up=self._experts(name, spec, ("gate", "up"), size, hidden),
            down=self._experts(name, spec, ("down",), hidden, size),
            experts_per_token=spec.experts_per_token,
            renormalise=spec.renormalise,
        )

    def _experts(
        self, name: str, spec: MoeSpec, parts: Sequence[str], rows: int, columns: int
    ) -> torch.Tensor:
        """Read one projection of every expert, ``[E, len(parts) * rows, columns]``.

        Exporters name them ``experts.3.gate_proj`` or ``experts.gate_proj.3``; transformers also
        stacks all experts into one tensor.
        """
        shape = (spec.experts, len(parts) * rows, columns)
        stacked_name = f"{name}.experts.{'_'.join(parts)}_proj"
        info = self._checkpoint.tensors.get(stacked_name)
        if info is not None:
            if info.dtype not in DENSE_DTYPES:
                raise UnsupportedModelError(
                    f"'{stacked_name}' holds stacked experts in {info.dtype}, which this version "
                    "cannot run; pick a version of the model with one tensor per expert."
                )
            if info.shape != shape:
                raise _misfit(stacked_name, info.shape, shape)
            return self._reader.read(stacked_name).to(self._device, self._dtype)
        part_first = f"{name}.experts.{parts[0]}_proj.0."
        swapped = any(known.startswith(part_first) for known in self._checkpoint.tensors)
        stacked = torch.empty(shape, dtype=self._dtype, device=self._device)
        for expert in range(spec.experts):
            prefixes = [
                f"{name}.experts.{part}_proj.{expert}"
                if swapped
                else f"{name}.experts.{expert}.{part}_proj"
                for part in parts
            ]
            self._fill(stacked[expert], prefixes, [rows] * len(parts), columns)
        return stacked

    def _linear(
        self, prefixes: Sequence[str], rows: Sequence[int], columns: int, *, bias: bool
    ) -> Linear:
        """Read linears that take the same input as one."""
        weight = self._merged(prefixes, rows, columns)
        if not bias:
            return make_linear(weight)
        biases = [
            self.vector(f"{prefix}.bias", size) for prefix, size in zip(prefixes, rows, strict=True)
        ]
        return make_linear(weight, torch.cat(biases))

    def _merged(self, prefixes: Sequence[str], rows: Sequence[int], columns: int) -> torch.Tensor:
        weight = torch.empty(sum(rows), columns, dtype=self._dtype, device=self._device)
        self._fill(weight, prefixes, rows, columns)
        return weight

    def _fill(
        self, weight: torch.Tensor, prefixes: Sequence[str], rows: Sequence[int], columns: int
    ) -> None:
        """Write the weights of ``prefixes`` one below the other into ``weight``."""
        for prefix, part in zip(prefixes, weight.split(list(rows)), strict=True):
            kind = linear_kind(self._checkpoint, prefix)
            stored = linear_shape(self._checkpoint, prefix, kind)
            if stored != (part.shape[0], columns):
                raise _misfit(f"{prefix}.weight", stored, (part.shape[0], columns))
            if isinstance(kind, Dense):
                part.copy_(self._reader.read(f"{prefix}.weight"))
                continue
            found = nvfp4_parts(self._reader, prefix, kind)
            packed = Nvfp4Weight(
                found.packed.to(self._device),
                found.scale.to(self._device),
                found.global_scale.to(self._device),
            )
            part.copy_(dequantize_nvfp4_torch(packed))


def _misfit(name: str, stored: Sequence[int], wanted: Sequence[int]) -> CheckpointError:
    return CheckpointError(
        f"Tensor '{name}' has shape {list(stored)}, but config.json asks for {list(wanted)}: "
        "weights and config do not belong together."
    )
