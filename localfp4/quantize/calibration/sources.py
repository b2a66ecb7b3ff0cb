"""Where text is read from, by what a user calls it."""

from collections.abc import Iterator
from os.path import expanduser
from pathlib import Path

from localfp4.checkpoint.display import shown
from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.documents import Document
from localfp4.quantize.calibration.files import documents_of
from localfp4.quantize.calibration.hub_dataset import PREFIX, HubDataset

BUILT_IN = Path(__file__).with_name("builtin.jsonl")
"""Text that comes with the program: prose, conversations, code, tables and numbers."""

_BYTES_PER_TOKEN = 4


def documents_in(source: str | None, tokens: int) -> Iterator[Document]:
    """Return the documents of a source, one after the other.

    Args:
        source: A file, a data set of the hub, or ``None`` for the text that comes with the program.
        tokens: About how many are wanted; of a data set in several files as much is downloaded.

    Raises:
        CalibrationError: There is no such source, or it cannot be read.
    """
    if source is None:
        return documents_of(BUILT_IN)
    if source.startswith(PREFIX):
        dataset = HubDataset.named(source.removeprefix(PREFIX))
        return documents_of(dataset.fetch(tokens * _BYTES_PER_TOKEN))
    path = Path(expanduser(source))
    if not path.is_file():
        raise CalibrationError(
            f"There is no file {shown(source)} to read; name a .txt, .md or .jsonl file, or "
            f"{PREFIX}org/dataset."
        )
    return documents_of(path)
