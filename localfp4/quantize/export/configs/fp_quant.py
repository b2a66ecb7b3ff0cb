"""``quantization_config`` of FP-Quant, whose linears rotate their inputs."""

from typing import Any

from localfp4.quantize.export.configs.contents import Contents
from localfp4.quantize.sites import HEAD


def fp_quant_config(contents: Contents, rotation: int) -> dict[str, Any]:
    """Return what ``config.json`` says of the weights.

    Args:
        contents: Of the checkpoint.
        rotation: Features that are rotated together.
    """
    (format,) = contents.formats
    head = [] if contents.has_head else [HEAD]
    kept = dict.fromkeys([*contents.kept, *contents.towers, *head])
    return {
        "quant_method": "fp_quant",
        "forward_dtype": format,
        "forward_method": "abs_max",
        "backward_dtype": "bf16",
        "hadamard_group_size": rotation,
        "transform_init": "hadamard",
        "pseudoquantization": False,
        "store_master_weights": False,
        "modules_to_not_convert": list(kept),
    }
