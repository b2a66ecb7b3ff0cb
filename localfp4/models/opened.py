"""A checkpoint with what its config makes of it, before any weight is read; torch-free."""

from dataclasses import dataclass

from localfp4.checkpoint.describe import quantised_formats
from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.rounded.checkpoint import already_quantised, rounded_checkpoint
from localfp4.checkpoint.synthetic.model import SyntheticModel, synthetic_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.errors import UnsupportedModelError
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.families import decoder_spec, renames
from localfp4.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model whose headers were checked.

    Attributes:
        spec: What it is.
        checkpoint: Its language model's tensors, under their usual names.
        left_out: Parts for other senses than text.
        notes: What a user should know of its weights, a sentence each.
    """

    spec: DecoderSpec
    checkpoint: Checkpoint
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def open_model(source: Source, rounding: str | None = None) -> OpenedModel:
    """Open the model in a folder, or a synthetic one.

    Args:
        source: Where it is.
        rounding: What its 16-bit linears are rounded to while they are loaded, of
            :data:`localfp4.config.ROUNDINGS`.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or a setting that changes the arithmetic, is unknown;
            or what is to be rounded is quantised already, or does not fit the format.
    """
    if isinstance(source, SyntheticModel):
        checkpoint: Checkpoint = synthetic_checkpoint(source)
    else:
        checkpoint = open_checkpoint(source)
    settings = dict(checkpoint.config)
    spec = decoder_spec(settings)
    text = text_part(checkpoint, renames(settings))
    if rounding is None:
        return OpenedModel(spec, text.checkpoint, text.left_out)
    stored = quantised_formats(text.checkpoint)
    if stored:
        raise UnsupportedModelError(already_quantised(str(checkpoint.folder), stored))
    stacks = tuple(dense_stacks(text.checkpoint, spec))
    rounded = rounded_checkpoint(text.checkpoint, rounding, stacks)
    return OpenedModel(spec, rounded, text.left_out, rounded.notes)
