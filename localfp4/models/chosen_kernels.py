"""Which kernels multiply with the weights of a decoder's layers that stay as they are stored."""

from typing import TYPE_CHECKING

from localfp4.models.modules import modules_of
from localfp4_kernels.dispatch import Kernel, Phase

if TYPE_CHECKING:
    from localfp4.models.decoder import Decoder


def chosen_kernels(decoder: "Decoder", phase: Phase) -> tuple[Kernel, ...]:
    """Return the kernels of steps of several tokens, in the order of the layers, each once."""
    execution = decoder.execution
    if execution.target is None:
        return ()
    # Triton takes a while to import, and only kernels need it.
    from localfp4.models.packed import KernelExperts, KernelLinear

    found = []
    for one in modules_of(decoder.layers):
        if isinstance(one, KernelLinear):
            columns = one.weight.shape[1]
        elif isinstance(one, KernelExperts):
            columns = one.intermediate_size
        else:
            continue
        choice = execution.choose(
            one.kind, phase, tokens=2, columns=columns, activations=one.activations
        )
        found.append(choice.kernel)
    return tuple(dict.fromkeys(found))
