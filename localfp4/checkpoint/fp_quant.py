"""Linears of FP-Quant (MR-GPTQ), whose weights are stored rotated; torch-free, reads no tensor.

Source: github.com/IST-DASLab/FP-Quant. ``scales`` are bits of E4M3 per 16 weights or of E8M0 per
32; both variants divide by ``weight_global_scale``. Padded scales come from checkpoints that
transformers saved again. FP-Quant always stores ``act_global_scale``: weights without it were made
for 16-bit inputs.
"""

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.mxfp4 import MXFP4, described_mxfp4
from localfp4.checkpoint.nvfp4 import GROUP_SIZE, NVFP4, NVFP4_NAMES, described_nvfp4
from localfp4.checkpoint.packed_shapes import ScaleOrder, group_size_of
from localfp4.checkpoint.quant_config import Activations
from localfp4.errors import CheckpointError


def fp_quant_kind(checkpoint: Checkpoint, prefix: str) -> NVFP4 | MXFP4:
    """Describe an FP-Quant linear.

    Raises:
        CheckpointError: Its tensors contradict each other, or its global scale is missing.
    """
    names = NVFP4_NAMES["fp-quant"]
    if prefix + names.global_scale not in checkpoint.tensors:
        raise CheckpointError(
            f"{shown(prefix)} was written by an FP-Quant that stored no weight_global_scale; "
            "export the model again with a newer one."
        )
    packed, scale = (
        checkpoint.tensors[prefix + names.packed],
        checkpoint.tensors[prefix + names.scale],
    )
    has_inputs = prefix + names.input_scale in checkpoint.tensors
    exact = group_size_of(packed, scale)
    if exact == GROUP_SIZE or (exact is None and _is_nvfp4(checkpoint)):
        order: ScaleOrder = "rows" if exact else "padded"
        nvfp4: Activations = "nvfp4" if has_inputs else "none"
        return described_nvfp4(checkpoint, prefix, "fp-quant", nvfp4, order)
    mxfp4: Activations = "mxfp4" if has_inputs else "none"
    return described_mxfp4(checkpoint, prefix, "fp-quant", mxfp4)


def _is_nvfp4(checkpoint: Checkpoint) -> bool:
    return str((checkpoint.quant_config or {}).get("forward_dtype", "")).lower() == "nvfp4"
