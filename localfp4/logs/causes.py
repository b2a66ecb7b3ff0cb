"""What led to an error, in a line."""


def in_one_line(error: BaseException) -> str:
    """Return an error with its kind, and what it was caused by, the first cause last."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 8:
        found.append(" ".join(f"{type(cause).__name__}: {cause}".split()))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; caused by ".join(found)
