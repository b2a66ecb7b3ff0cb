"""Reading the experts of a mixture, which exporters name and stack in several ways."""

from localfp4.models.emulate import emulated_experts
from localfp4.models.expert_source import Projection, find_experts
from localfp4.models.experts import TorchExperts
from localfp4.models.feed_forward import Experts
from localfp4.models.spec import MoeSpec
from localfp4.models.stored import StoredWeights


def load_experts(
    stored: StoredWeights, name: str, spec: MoeSpec, hidden: int, *, interleaved: bool
) -> Experts:
    """Read the experts of a layer; they stay quantised where kernels read them.

    Args:
        stored: Where they are.
        name: The module whose child is ``experts``.
        spec: What they are.
        hidden: Width of their input and output.
        interleaved: Whether a tensor for all experts alternates between gate and up, and has its
            columns first where it is not quantised, as gpt-oss has it.

    Raises:
        CheckpointError: A tensor is missing or has another shape.
        UnsupportedModelError: They are stored in a format that is not supported.
    """
    size, bias = spec.intermediate_size, spec.expert_bias
    parts = ("gate", "up") if spec.gated else ("up",)
    up = find_experts(
        stored, Projection(name, parts, spec.experts, size, hidden, interleaved, bias)
    )
    down = find_experts(
        stored, Projection(name, ("down",), spec.experts, hidden, size, interleaved, bias)
    )
    if stored.execution.emulated is not None:
        return emulated_experts(up, down, spec, stored.execution)
    if stored.execution.target is None:
        return TorchExperts(up.expanded(), down.expanded(), spec.activation, up.bias(), down.bias())
    # Triton takes a while to import, and only kernels need it.
    from localfp4.models.pack_experts import pack_experts

    return pack_experts(up, down, spec, stored.execution)
