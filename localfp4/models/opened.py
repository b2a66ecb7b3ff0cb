"""A checkpoint with what its config makes of it, before any weight is read; torch-free."""

from dataclasses import dataclass

from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.synthetic.model import SyntheticModel, synthetic_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.models.families import decoder_spec, renames
from localfp4.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model whose headers were checked.

    Attributes:
        spec: What it is.
        checkpoint: Its language model's tensors, under their usual names.
        left_out: Parts for other senses than text.
    """

    spec: DecoderSpec
    checkpoint: Checkpoint
    left_out: tuple[str, ...]


def open_model(source: Source) -> OpenedModel:
    """Open the model in a folder, or a synthetic one.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or a setting that changes the arithmetic, is unknown.
    """
    if isinstance(source, SyntheticModel):
        checkpoint: Checkpoint = synthetic_checkpoint(source)
    else:
        checkpoint = open_checkpoint(source)
    settings = dict(checkpoint.config)
    spec = decoder_spec(settings)
    text = text_part(checkpoint, renames(settings))
    return OpenedModel(spec, text.checkpoint, text.left_out)
