"""What became of a row, in words."""

from localfp4.bench.records import Row
from localfp4.documents.markdown import one_line

WORDS = {
    "does_not_fit": "does not fit",
    "replaced": "replaced",
    "unsupported": "not supported",
    "missing": "missing",
    "failed": "failed",
}


def in_words(row: Row) -> str:
    """Return why a row was not measured, such as ``OOM (needs 21.3 GiB; 15.1 free)``."""
    reason = one_line(row.reason)
    if reason.startswith("OOM") or (reason and row.status in ("replaced", "missing")):
        return reason  # says already what became of it
    return f"{WORDS[row.status]}: {reason}" if reason else WORDS[row.status]
