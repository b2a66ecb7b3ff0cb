"""Sizes of files in words, as disks count them; stdlib only."""

_GIGABYTES_FROM = 10**8


def in_decimal(count: int, digits: int = 1) -> str:
    """Return such as ``6.4 GB``, and below a tenth of one such as ``5.4 MB``.

    Args:
        count: Bytes.
        digits: Behind the point of gigabytes.
    """
    return f"{count / 1e9:.{digits}f} GB" if count >= _GIGABYTES_FROM else f"{count / 1e6:.1f} MB"
