"""What a model would launch on a card that need not be there."""

import torch

from localfp4.checkpoint.hub import Source
from localfp4.models.execution import Execution
from localfp4.models.load import outline_decoder
from localfp4.models.opened import open_model
from localfp4.runner.operators import Operators, operators
from localfp4_kernels.dispatch import Precision
from localfp4_kernels.target import Target


def survey(source: Source, target: Target, precision: str) -> Operators:
    """Return the operators of a model in bfloat16.

    Raises:
        CheckpointError: A tensor is missing or does not fit the config.
        UnsupportedModelError: The family, or the format of a weight, is not supported.
    """
    model = open_model(source)
    execution = Execution(target, Precision(precision))
    outline = outline_decoder(model.checkpoint, model.spec, torch.bfloat16, execution)
    return operators(outline, "bfloat16")
