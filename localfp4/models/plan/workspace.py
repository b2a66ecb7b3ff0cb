"""Memory that a step takes besides weights and caches, as an upper bound.

A step's tensors come and go layer by layer, so that the widest layer decides. Widths are counted in
numbers of the compute type for each token; what lives at the widest moment was read off the live
tensors of every family's outline, which is how the tests check the bound.
"""

from dataclasses import dataclass

from localfp4.config import EngineConfig
from localfp4.models.cache_bytes import ELEMENT_BYTES, one_state_bytes
from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    FeedForwardSpec,
    GatedDeltaSpec,
    MambaSpec,
    MixerSpec,
    MlaSpec,
    MlpSpec,
    MoeSpec,
    ShortConvSpec,
)

_STREAM = 4
"""Residual streams that live at once: before, normalised, what is added, and after."""

_CHUNK = 64
"""Tokens of a chunk of a recurrent layer's prefill, after each of which a state is written."""

_MULTIPROCESSORS = 192
"""As many as the largest cards have; attention of few sequences is split over twice as many
programs, each with a partial result."""

_CUBLAS = 32 * 2**20
"""Workspace that cuBLAS recommends since Hopper, which PyTorch allocates for it."""

_DRIVER = 256 * 2**20
"""Allowed for the code of kernels, for CUDA graphs, and for what PyTorch's allocator rounds up."""

ENGINE = 40 * 2**20
"""Allowed on a CPU for what an engine process adds to torch and the model: libraries that are loaded
late, the process that renders templates, and the sampler; 31 MB were measured with the demo."""

CUDA_CONTEXT = 448 * 2**20
"""Allowed for the context that CUDA makes for a process: PyTorch 2.10 with CUDA 13 takes 426 MiB on an
RTX 6000 Ada (unslothai/unsloth-zoo #1053)."""


@dataclass(frozen=True, slots=True)
class StepSizes:
    """What bounds a step.

    Attributes:
        prompt: Most tokens of prompts.
        batch: Most sequences that decode.
        context: Tokens of the longest.
    """

    prompt: int
    batch: int
    context: int


@dataclass(frozen=True, slots=True)
class Widths:
    """What of a model decides on the memory of its steps, gathered once for many contexts.

    Attributes:
        spec: The model.
        mixers: Its mixers, of alike ones only one: comparing them takes longer than all else here.
        token_width: Numbers of the compute type that live at once for each token.
    """

    spec: DecoderSpec
    mixers: tuple[MixerSpec, ...]
    token_width: int


def widths_of(spec: DecoderSpec) -> Widths:
    """Gather what decides on the memory of a model's steps."""
    layers = (*spec.layers, *spec.mtp)
    mixers = tuple({layer.mixer for layer in layers if layer.mixer is not None})
    return Widths(spec, mixers, token_width(spec))


def workspace_bytes(
    widths: Widths,
    config: EngineConfig,
    dtype: str,
    context: int,
    *,
    on_gpu: bool,
    has_kernels: bool,
) -> int:
    """Return the most that steps take beside weights and caches.

    Args:
        widths: The model.
        config: Sizes of steps.
        dtype: Compute type.
        context: Longest context in tokens.
        on_gpu: Whether they run on a GPU.
        has_kernels: Whether kernels run, which read keys and values where they lie.
    """
    sizes = StepSizes(
        min(config.step_tokens("cuda" if on_gpu else "cpu"), context), config.max_batch, context
    )
    element = ELEMENT_BYTES[dtype]
    row = widths.token_width * element
    logits = sizes.batch * logits_row_bytes(widths.spec, dtype)
    steps = (sizes.prompt + sizes.batch) * row + logits
    steps += 0 if has_kernels else _gathered_bytes(widths, sizes, element)
    if not on_gpu:
        return steps
    steps += _partial_bytes(widths, sizes)
    # Graphs keep a pool of their own, which steps that are not replayed cannot use.
    recorded = sizes.batch * row + logits + _partial_bytes(widths, sizes)
    return steps + (recorded if config.cuda_graphs else 0) + _CUBLAS + _DRIVER


def token_width(spec: DecoderSpec) -> int:
    """Return how many numbers of the compute type live at once for each token."""
    layers = (*spec.layers, *spec.mtp)
    mixers = {layer.mixer for layer in layers if layer.mixer is not None}
    networks = {layer.feed_forward for layer in layers if layer.feed_forward is not None}
    hidden = spec.hidden_size
    widest = max(
        [_mixer_width(mixer) for mixer in mixers]
        + [_feed_forward_width(network, hidden) for network in networks]
    )
    inputs = spec.per_layer_input
    beside = 0 if inputs is None else 2 * len(spec.layers) * inputs.size
    angles = 2 * sum({2 * _rotated(mixer) for mixer in mixers})
    return _STREAM * hidden + widest + beside + angles


def logits_row_bytes(spec: DecoderSpec, dtype: str) -> int:
    """Return what choosing one token takes.

    Logits are computed in the compute type and become float32, once more where they are scaled or
    capped, and once where penalties change them; nothing is sorted.
    """
    changed = spec.logit_soft_cap is not None or spec.logit_scale != 1
    copies = 3 if changed else 2
    return spec.vocab_size * (ELEMENT_BYTES[dtype] + copies * ELEMENT_BYTES["float32"])


def _mixer_width(mixer: MixerSpec) -> int:
    match mixer:
        case AttentionSpec():
            queries, keys = mixer.heads * mixer.head_dim, mixer.kv_heads * mixer.head_dim
            gate = 2 * queries if mixer.gate in ("query", "element") else 0
            return 2 * (queries + 2 * keys) + queries + gate
        case MlaSpec():
            latent = mixer.heads * (mixer.kv_rank + mixer.rope_dim)
            return mixer.heads * (mixer.nope_dim + mixer.rope_dim) + 2 * latent
        case GatedDeltaSpec():
            inner = mixer.v_heads * mixer.v_dim
            states = inner * mixer.k_dim * 2 // _CHUNK
            return 2 * mixer.state.conv[0] + 2 * inner + states
        case MambaSpec():
            inner = mixer.heads * mixer.head_dim
            return 2 * mixer.state.conv[0] + 2 * inner + mixer.heads
    return 6 * mixer.width


def _feed_forward_width(network: FeedForwardSpec, hidden: int) -> int:
    match network:
        case MlpSpec():
            return _mlp_width(network)
        case MoeSpec():
            return _moe_width(network, hidden)
    return 2 * hidden + max(_mlp_width(network.mlp), _moe_width(network.moe, hidden))


def _mlp_width(mlp: MlpSpec) -> int:
    """Gate and up, the activated gate and its product with up; or up and its activation."""
    return (4 if mlp.gated else 2) * mlp.intermediate_size


def _moe_width(moe: MoeSpec, hidden: int) -> int:
    """Products of the chosen experts, and the shared network that follows them."""
    inner = moe.latent_size or hidden
    chosen, rows = moe.experts_per_token * moe.intermediate_size, moe.experts_per_token * inner
    experts = max((3 if moe.gated else 2) * chosen, chosen + rows)
    shared = 0 if moe.shared is None else _mlp_width(moe.shared)
    routing = 2 * moe.experts + 8 * moe.experts_per_token
    return 2 * max(hidden, inner) + max(experts, shared) + routing


def _rotated(mixer: MixerSpec) -> int:
    return mixer.rope.dim if isinstance(mixer, AttentionSpec | MlaSpec) else 0


def _partial_bytes(widths: Widths, sizes: StepSizes) -> int:
    """Return the float32 results of attention that is split over a long context."""

    def of(mixer: MixerSpec) -> int:
        if isinstance(mixer, MlaSpec):
            return (2 * _MULTIPROCESSORS + sizes.batch) * mixer.heads * (mixer.kv_rank + 2) * 4
        if not isinstance(mixer, AttentionSpec):
            return 0
        programs = 2 * _MULTIPROCESSORS + sizes.batch * mixer.kv_heads
        return programs * mixer.heads // mixer.kv_heads * (mixer.head_dim + 2) * 4

    return max(map(of, widths.mixers), default=0)


def _gathered_bytes(widths: Widths, sizes: StepSizes, element: int) -> int:
    """Return what plain torch copies out of the caches.

    Attention gathers one sequence's keys and values and repeats them for every query head; a mask
    says where a prompt may look, and where sinks or a cap change them, the scores are tensors too.
    Recurrent layers gather the states of the batch and compute new ones beside them.
    """

    def of(mixer: MixerSpec) -> int:
        if isinstance(mixer, AttentionSpec | MlaSpec):
            return _attended_bytes(mixer, sizes, element)
        states = 3 * sizes.batch * one_state_bytes(mixer.state, "float32")
        if isinstance(mixer, ShortConvSpec):
            return states
        return states + _scanned_bytes(mixer, sizes)

    return max(map(of, widths.mixers), default=0)


def _attended_bytes(mixer: AttentionSpec | MlaSpec, sizes: StepSizes, element: int) -> int:
    seen, scores = sizes.context, sizes.prompt * sizes.context
    if isinstance(mixer, MlaSpec):
        keys = mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.v_dim)
        return seen * (2 * keys + mixer.kv_rank + mixer.rope_dim) * element + 5 * scores
    if mixer.window is not None:
        seen = min(seen, mixer.window + sizes.prompt)
        scores = sizes.prompt * seen
    keys = 2 * (mixer.heads + mixer.kv_heads) * mixer.head_dim
    explicit = mixer.soft_cap is not None or mixer.sinks
    # The mask, its indices, and its copy in the compute type; or scores, three times.
    per_score = 3 * mixer.heads * ELEMENT_BYTES["float32"] if explicit else 4 + element
    return seen * keys * element + scores * per_score


def _scanned_bytes(mixer: GatedDeltaSpec | MambaSpec, sizes: StepSizes) -> int:
    """Return what a prompt's tokens take in float32, and the matrices of its chunks."""
    channels = mixer.state.conv[0]
    heads = mixer.v_heads if isinstance(mixer, GatedDeltaSpec) else mixer.heads
    return sizes.prompt * (8 * channels + 6 * heads * _CHUNK) * ELEMENT_BYTES["float32"]
