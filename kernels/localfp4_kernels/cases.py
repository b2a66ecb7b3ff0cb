"""What must be true of the machine code of a shipped kernel, and for which shapes it is shipped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from localfp4_kernels.launch import Launch
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits on the machine code, checked by ``kernels/bench/sass.py`` and in CI.

    STACK must be 0 and shared memory must fit the target in any case.

    Attributes:
        instruction: Substring of an opcode that must occur, such as ``QMMA``; ``None`` asks for
            nothing.
        registers: Most registers per thread.
        wide_loads: Whether a 128-bit load from global memory (direct or asynchronous) must occur.
        per_weight: Most instructions of the hot loop per weight.
    """

    instruction: str | None = None
    registers: int = 255
    wide_loads: bool = False
    per_weight: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A launch that a model needs.

    Attributes:
        name: Operator and shape, such as ``gemv 12288x4096``.
        launch: Planned with tensors on the ``meta`` device.
        gate: Limits on its machine code.
        weights: Weights that one thread handles per round of the hot loop; ``None`` where the
            kernel does not stream weights.
    """

    name: str
    launch: Launch
    gate: Gate = Gate()
    weights: float | None = None


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a model, as far as its kernels depend on them.

    Attributes:
        hidden: Width of the residual stream.
        intermediate: Width of the feed-forward network; 0 where all are experts.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        vocab: Rows of the output projection.
        weight: ``nvfp4``, ``mxfp4``, ``fp8`` or ``bf16``: how linear layers are stored.
        activations: ``16``, ``8`` or ``4`` bits in prefill, as the checkpoint was made for.
        qk_norm: Whether query and key heads are normalised.
        window: Sliding window of some layers, or ``None``.
        soft_cap: Whether attention logits are capped.
        sinks: Whether attention has sinks.
        plus_one: Whether norms multiply by ``1 + w``.
        gate: ``silu``, ``gelu_tanh`` or ``swiglu_oai``.
        experts: Number of experts; 0 for a dense model.
        experts_per_token: Experts each token visits.
        expert_intermediate: Width of an expert.
        router: ``softmax_topk``, ``topk_softmax`` or ``sigmoid_bias``.
        delta_k_heads: Key heads of Gated DeltaNet layers; 0 where there are none.
        delta_v_heads: Their value heads.
        delta_head_dim: Width of both.
        kv_cache: ``fp8`` or ``bf16``.
    """

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    weight: str = "nvfp4"
    activations: int = 4
    qk_norm: bool = False
    window: int | None = None
    soft_cap: bool = False
    sinks: bool = False
    plus_one: bool = False
    gate: str = "silu"
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    router: str = "softmax_topk"
    delta_k_heads: int = 0
    delta_v_heads: int = 0
    delta_head_dim: int = 0
    kv_cache: str = "fp8"

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each merged linear layer, by name."""
        query = self.heads * self.head_dim
        shapes = {
            "qkv": (query + 2 * self.kv_heads * self.head_dim, self.hidden),
            "out": (self.hidden, query),
        }
        if self.intermediate:
            shapes["gate_up"] = (2 * self.intermediate, self.hidden)
            shapes["down"] = (self.hidden, self.intermediate)
        return shapes


REFERENCE_MODELS = {
    "qwen3-8b": ModelShape(4096, 12288, 32, 8, 128, 151936, qk_norm=True),
    "qwen3-8b-w4a16": ModelShape(4096, 12288, 32, 8, 128, 151936, activations=16, qk_norm=True),
    "qwen3-8b-fp8": ModelShape(
        4096, 12288, 32, 8, 128, 151936, weight="fp8", activations=8, qk_norm=True
    ),
    "gemma3-27b": ModelShape(
        5376, 21504, 32, 16, 128, 262208, qk_norm=True, window=1024, plus_one=True, gate="gelu_tanh"
    ),
    "qwen3-30b-a3b": ModelShape(
        2048,
        0,
        32,
        4,
        128,
        151936,
        qk_norm=True,
        experts=128,
        experts_per_token=8,
        expert_intermediate=768,
    ),
    "gpt-oss-20b": ModelShape(
        2880,
        0,
        64,
        8,
        64,
        201088,
        weight="mxfp4",
        activations=16,
        window=128,
        sinks=True,
        gate="swiglu_oai",
        experts=32,
        experts_per_token=4,
        expert_intermediate=2880,
        router="topk_softmax",
    ),
    "qwen3.6-27b": ModelShape(
        5120,
        17408,
        24,
        4,
        256,
        248320,
        qk_norm=True,
        plus_one=True,
        delta_k_heads=16,
        delta_v_heads=48,
        delta_head_dim=128,
    ),
}
"""Models whose every kernel is compiled in CI, from their published configs."""

CaseMaker = Callable[[ModelShape, Target], Iterator[Case]]
"""What each family of operators offers: the launches a model needs on a target."""
