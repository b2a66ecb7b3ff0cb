"""Moments as people name them; no widgets and no clock of its own."""

from datetime import UTC, datetime


def when_in_words(moment: str, now: datetime) -> str:
    """Return a moment as ``today 14:02``, ``yesterday 14:02``, ``Monday 14:02``, ``3 Mar 14:02``.

    Args:
        moment: UTC, as ``YYYY-MM-DD HH:MM:SS``.
        now: With a time zone, the one to tell the moment in.
    """
    try:
        then = datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone(now.tzinfo)
    except ValueError:
        return moment
    days = (now.date() - then.date()).days
    if 0 <= days < 2:
        return f"{('today', 'yesterday')[days]} {then:%H:%M}"
    if 0 < days < 7:
        return f"{then:%A %H:%M}"
    return f"{then.day} {then:%b %H:%M}" if then.year == now.year else f"{then.day} {then:%b %Y}"
