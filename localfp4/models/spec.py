"""What a decoder-only transformer is, in numbers; knows neither tensors nor files."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RopeSpec:
    """Rotary position embedding of one layer.

    Attributes:
        dim: Rotated dimensions of each head.
        theta: Base of the frequencies.
        kind: Scaling method; parameters of other methods are ignored.
        factor: How many times the original context is extended.
        original_context: Context length before the extension, in tokens.
        low_freq_factor: Of ``llama3``.
        high_freq_factor: Of ``llama3``.
        beta_fast: Of ``yarn``.
        beta_slow: Of ``yarn``.
        attention_factor: Of ``yarn``: multiplies cosine and sine.
        truncate: Of ``yarn``: whether the correction range is rounded to whole dimensions.
    """

    dim: int
    theta: float
    kind: Literal["default", "linear", "llama3", "yarn"] = "default"
    factor: float = 1.0
    original_context: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Grouped-query attention of one layer.

    Attributes:
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        scale: Multiplies the scores.
        rope: Position embedding.
        window: Sliding window in tokens, the query included; ``None`` sees everything.
        qk_norm: Whether queries and keys are RMS-normalised per head before the rotation.
        qkv_bias: Whether the input projections have a bias.
        out_bias: Whether the output projection has one.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    rope: RopeSpec
    window: int | None = None
    qk_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False


@dataclass(frozen=True, slots=True)
class MlpSpec:
    """A dense SwiGLU network of one layer."""

    intermediate_size: int
    bias: bool = False


@dataclass(frozen=True, slots=True)
class MoeSpec:
    """A sparse mixture of SwiGLU experts with a softmax router.

    Attributes:
        experts: Number of experts.
        experts_per_token: Experts each token visits.
        intermediate_size: Width of one expert.
        renormalise: Whether the chosen weights are scaled to sum to one.
    """

    experts: int
    experts_per_token: int
    intermediate_size: int
    renormalise: bool


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One pre-norm transformer block: attention, then a feed-forward network."""

    attention: AttentionSpec
    feed_forward: MlpSpec | MoeSpec


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A whole decoder.

    Attributes:
        family: ``model_type`` of the checkpoint.
        vocab_size: Rows of the embedding.
        hidden_size: Width of the residual stream.
        norm_eps: Added to the mean square in every RMS norm.
        max_context: Longest context the model was made for, in tokens.
        layers: The blocks, bottom to top.
    """

    family: str
    vocab_size: int
    hidden_size: int
    norm_eps: float
    max_context: int
    layers: tuple[LayerSpec, ...]
