"""What becomes of the output projection's result before it is a model's logits."""

import torch

from localfp4.models.spec import DecoderSpec
from localfp4_kernels.target import Target


def scaled_logits(logits: torch.Tensor, spec: DecoderSpec, target: Target | None) -> torch.Tensor:
    """Return float32 logits ``[R, V]``, scaled and capped as the model has it.

    Args:
        logits: ``[R, V]``, what the output projection gives.
        spec: The model.
        target: What runs kernels; ``None`` is plain torch.
    """
    logits = logits.float()
    if spec.logit_scale != 1:
        logits = logits * spec.logit_scale
    cap = spec.logit_soft_cap
    if cap is None:
        return logits
    if target is None:
        return torch.tanh(logits / cap) * cap
    # Triton takes a while to import, and only kernels need it.
    from localfp4_kernels.pointwise.soft_cap import soft_cap

    return soft_cap(logits.contiguous(), cap, target=target)
