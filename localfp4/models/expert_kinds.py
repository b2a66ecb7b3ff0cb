"""As what kernels would read the experts of a mixture."""

from localfp4.checkpoint.int4 import INT4
from localfp4.checkpoint.read_int4 import read_order
from localfp4.checkpoint.transforms import PLAIN
from localfp4.models.expert_source import ExpertSource, SeparateExperts, StackedExperts
from localfp4.models.kernel_kind import activation_bits, kernel_kind
from localfp4.models.pack_weight import FP8_BLOCK
from localfp4_kernels.dispatch import Kind


def common_kind(up: ExpertSource, down: ExpertSource) -> Kind:
    """Return how kernels read both products; 16 bits where they do not, or not both alike."""
    kinds = {_kernel_kind(source) for source in (up, down)}
    return kinds.pop() if len(kinds) == 1 else Kind.BF16


def bits_of_inputs(source: ExpertSource) -> int:
    """Return the width of activations a product was made for."""
    if isinstance(source, StackedExperts):
        return activation_bits(source.stack)
    return max(activation_bits(kind) for kind in source.kinds)


def _kernel_kind(source: ExpertSource) -> Kind:
    """Return how kernels read a product; 16 bits where they do not as it is stored."""
    if isinstance(source, StackedExperts):
        return kernel_kind(source.stack)
    found = {kernel_kind(kind) for kind in source.kinds}
    if len(found) > 1 or any(kind.transform != PLAIN for kind in source.kinds):
        return Kind.BF16
    kind = found.pop()
    if kind is Kind.FP8_BLOCK and len(source.projection.parts) > 1:
        return kind if source.projection.rows % FP8_BLOCK == 0 else Kind.BF16
    if kind is Kind.INT4 and not _shares_groups(source):
        return Kind.BF16
    return kind


def _shares_groups(source: SeparateExperts) -> bool:
    """Say whether all experts have groups of one size, and their columns in the natural order."""
    int4 = [kind for kind in source.kinds if isinstance(kind, INT4)]
    return len({kind.group_size for kind in int4}) == 1 and all(
        read_order(source.stored.reader, prefix, kind) is None
        for kind in int4
        if kind.groups is not None
        for parts in source.prefixes
        for prefix in parts
    )
