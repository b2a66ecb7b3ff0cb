"""How many parameters a checkpoint has, however they are stored; torch-free, reads no tensor."""

import math
import re

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo

_BESIDE = re.compile(
    r"(scale|scales|scale_2|scale_inv|qzeros|zero_point|g_idx|weight_shape|amax|"
    r"hadamard_matrix|absmax|quant_map|quant_state\.\w+|svdquant_lora_[ab])$",
    re.ASCII,
)
"""What formats keep beside the weights."""

_LEARNED = re.compile(r"\.(gate|router)\.(scale|per_expert_scale)$", re.ASCII)
"""Scales that a model itself has (Gemma 4)."""

_CODES = {"U8": 2, "I8": 2, "I32": 8, "U32": 8}
"""Weights to an element of a packed type."""


def parameter_count(checkpoint: Checkpoint) -> int:
    """Count the parameters; a tied output projection counts once."""
    return sum(parameters_in(name, info) for name, info in checkpoint.tensors.items())


def is_beside(name: str) -> bool:
    """Say whether a tensor is what a format keeps beside a weight, such as its scales."""
    return _BESIDE.search(name) is not None and _LEARNED.search(name) is None


def parameters_in(name: str, info: TensorInfo) -> int:
    """Count the parameters in a tensor; what formats keep beside their weights has none."""
    if is_beside(name):
        return 0
    return math.prod(info.shape) * _CODES.get(info.dtype, 1)
