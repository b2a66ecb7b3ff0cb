"""From experts as they are stored to experts that kernels run."""

from localfp4.models.execution import Execution
from localfp4.models.expert_kinds import bits_of_inputs, common_kind
from localfp4.models.expert_source import ExpertSource
from localfp4.models.packed import KernelExperts
from localfp4.models.packed_stack import packed_stack
from localfp4.models.spec import MoeSpec
from localfp4_kernels.dispatch import Kind


def pack_experts(
    up: ExpertSource, down: ExpertSource, spec: MoeSpec, execution: Execution
) -> KernelExperts:
    """Read both products of the experts; quantised where kernels read them and both are alike."""
    kind = common_kind(up, down) if execution.keeps_packed else Kind.BF16
    packs = kind is not Kind.BF16
    return KernelExperts(
        up=packed_stack(up) if packs else up.expanded(),
        down=packed_stack(down) if packs else down.expanded(),
        up_bias=up.bias(),
        down_bias=down.bias(),
        activation=spec.activation,
        intermediate_size=spec.intermediate_size,
        kind=kind,
        activations=max(bits_of_inputs(up), bits_of_inputs(down)),
        execution=execution,
    )
