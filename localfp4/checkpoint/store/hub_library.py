"""What has to be known of huggingface_hub to call it: its errors, its progress bars; torch-free."""

from collections.abc import Iterator
from contextlib import contextmanager


def download_failures() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises when a download fails.

    The bases of its HTTP error are OSError and the HTTP library's own error, whose module depends
    on the version; RuntimeError is hf_xet's, which fetches large files.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return (*HfHubHTTPError.__bases__, RuntimeError)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep huggingface_hub from drawing its own progress bars over ours."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
