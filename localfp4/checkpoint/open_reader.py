"""Which reader a checkpoint is read with: files, values made up for measurements, or rounded ones."""

from collections.abc import Sequence

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.reader import OutlineReader, TensorReader
from localfp4.checkpoint.rounded.checkpoint import RoundedCheckpoint
from localfp4.checkpoint.rounded.reader import RoundedOutlineReader, RoundedReader
from localfp4.checkpoint.synthetic.model import SyntheticCheckpoint
from localfp4.checkpoint.synthetic.reader import SyntheticOutlineReader, SyntheticReader


def open_reader(
    checkpoint: Checkpoint, device: torch.device, order: Sequence[str] = ()
) -> TensorReader:
    """Return what reads the tensors of a checkpoint that will be used on a device.

    Args:
        checkpoint: What to read.
        device: Where the tensors will go.
        order: Names in the order in which they will be asked for, where that is known: they are
            read ahead.
    """
    if isinstance(checkpoint, RoundedCheckpoint):
        source = open_reader(checkpoint.source, device, tuple(checkpoint.needed(order)))
        return RoundedReader(checkpoint, source, device)
    if isinstance(checkpoint, SyntheticCheckpoint):
        return SyntheticReader(checkpoint, device)
    reader = TensorReader(checkpoint)
    if order:
        reader.read_ahead(order, device)
    return reader


def open_outline_reader(checkpoint: Checkpoint) -> OutlineReader:
    """Return what answers with the shapes of a checkpoint's tensors, without their values."""
    if isinstance(checkpoint, RoundedCheckpoint):
        return RoundedOutlineReader(checkpoint, open_outline_reader(checkpoint.source))
    if isinstance(checkpoint, SyntheticCheckpoint):
        return SyntheticOutlineReader(checkpoint)
    return OutlineReader(checkpoint)
