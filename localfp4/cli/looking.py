"""Finding out what a model is without downloading it, for commands that only tell of it."""

from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.outlining import look
from localfp4.cli.progress import load_visibly


def looked_at(model: str) -> Source:
    """Return where a model is, or its outline, telling on a terminal what is asked of the hub.

    Raises:
        UserError: It cannot be had, or makes no sense.
    """
    return load_visibly(look(model))


def download_bytes(source: Source) -> int:
    """Return how much there is to download of a model."""
    return source.download_bytes if isinstance(source, Outline) else 0


def download_in_words(source: Source) -> str:
    """Return how much there is to download of a model; empty where it is here."""
    if not isinstance(source, Outline):
        return ""
    size = f"{source.download_bytes / 1e9:.1f} GB"
    return f"not downloaded: {size}, by `localfp4 pull {source.name}`"
