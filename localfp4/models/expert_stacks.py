"""Which experts of a 16-bit model lie in one tensor, and what is what in it; torch-free."""

from collections.abc import Iterator

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.rounded.pieces import DenseStack
from localfp4.checkpoint.stacks import stack_kind
from localfp4.models.expert_names import stack_name
from localfp4.models.spec import DecoderSpec, LayerSpec, MoeSpec, ParallelSpec
from localfp4.models.traffic import mixture


def dense_stacks(checkpoint: Checkpoint, spec: DecoderSpec) -> Iterator[DenseStack]:
    """Yield the plain stacks of experts in the layers of a decoder.

    Raises:
        CheckpointError: A tensor has another shape than the spec wants.
        UnsupportedModelError: It is stored in a format that is not supported.
    """
    for index, layer in enumerate(spec.layers):
        moe = mixture(layer)
        if moe is not None:
            name = f"model.layers.{index}.{_module(layer)}"
            yield from _stacks(checkpoint, name, moe, moe.latent_size or spec.hidden_size)


def _module(layer: LayerSpec) -> str:
    return "moe" if isinstance(layer.feed_forward, ParallelSpec) else "mlp"


def _stacks(checkpoint: Checkpoint, module: str, moe: MoeSpec, hidden: int) -> Iterator[DenseStack]:
    interleaved, inner = moe.activation == "swiglu_oai", moe.intermediate_size
    first = ("gate", "up") if moe.gated else ("up",)
    for parts, rows, columns in ((first, len(first) * inner, hidden), (("down",), hidden, inner)):
        name = stack_name(checkpoint, module, parts)
        if name is None:
            continue
        shape = moe.experts, rows, columns
        stack = stack_kind(checkpoint, name, shape, transposed=interleaved)
        if stack.format == "dense":
            bias = checkpoint.tensors.get(f"{name}_bias")
            fits = bias is not None and bias.shape == shape[:2]
            yield DenseStack(name, parts, shape, stack.transposed, interleaved, fits)
