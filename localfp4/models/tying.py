"""Whether a model's embedding is its output projection, too; torch-free."""

from localfp4.checkpoint.index import Checkpoint
from localfp4.errors import CheckpointError
from localfp4.models.families import ties_embedding
from localfp4.text.files import language_model_settings


def shares_embedding(checkpoint: Checkpoint) -> bool:
    """Say whether the embedding serves as the output projection.

    The tensors decide: exporters leave a stale flag beside a head of its own.

    Raises:
        CheckpointError: There is no head, and the config does not say that the embedding is one.
    """
    if any(name.startswith("lm_head.") for name in checkpoint.tensors):
        return False
    settings = dict(checkpoint.config)
    holders = (settings, language_model_settings(settings) or {})
    said = [tied for h in holders if (tied := h.get("tie_word_embeddings")) is not None]
    if not (any(said) if said else ties_embedding(settings)):
        raise CheckpointError(
            "The checkpoint has no lm_head.weight, and its config.json does not tie the output to "
            "the embedding; download it again."
        )
    return True
