"""The bytes of an outline of a decoder: what the engine's own plan has."""

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.models.execution import Execution
from localfp4.models.load import outline_decoder
from localfp4.models.size import weight_sizes
from localfp4.models.spec import DecoderSpec
from localfp4.models.weight_sizes import WeightSizes
from localfp4_kernels.dispatch import Precision
from localfp4_kernels.target import Target


def outlined_sizes(
    checkpoint: Checkpoint, spec: DecoderSpec, dtype: str, capability: int, precision: str
) -> WeightSizes:
    """Return the sizes of weights as kernels for a card keep them.

    Args:
        checkpoint: Their headers.
        spec: The model.
        dtype: Compute type.
        capability: Compute capability of the card, times ten.
        precision: Width that is asked for, of :data:`localfp4.config.PRECISIONS`.

    Raises:
        CheckpointError: A tensor is missing or does not fit the config.
        UnsupportedModelError: The format of a weight is not supported.
    """
    target = Target(capability, multiprocessors=1)
    execution = Execution(target, Precision(precision))
    return weight_sizes(outline_decoder(checkpoint, spec, getattr(torch, dtype), execution))
