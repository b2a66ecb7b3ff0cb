"""Whether a run that was begun may be gone on with: what would make its rows two kinds of rows."""

from collections.abc import Iterator
from dataclasses import asdict

from localfp4.bench.events import cell, in_words
from localfp4.bench.running.lines import Header

_OF_METHOD = {
    "repeats": "repeats",
    "warmup": "runs to warm up",
    "seed": "seed",
    "ignore_eos": "--ignore-eos",
    "kv": "KV cache",
}

_ALIKE_ENOUGH = ("date", "memory_bytes")
"""Of an environment: main memory differs by a little after every start of a computer."""


def difference(before: Header, now: Header) -> str | None:
    """Say what of a run differs from what is asked for now, the first thing that does.

    Args:
        before: What was begun.
        now: What is asked for.

    Returns:
        Such as ``5 repeats there, 3 here``; ``None`` where it is the same run.
    """
    return next(_differences(before, now), None)


def _differences(before: Header, now: Header) -> Iterator[str]:
    for word, there, here in (
        ("series", set(map(in_words, before.series)), set(map(in_words, now.series))),
        ("cells", set(map(cell, before.cases)), set(map(cell, now.cases))),
    ):
        if there != here:
            yield f"{word}: {_only(there - here, 'there')}{_only(here - there, 'here')}".rstrip(
                ", "
            )
    methods = asdict(before.method), asdict(now.method)
    for name, word in _OF_METHOD.items():
        yield from _other(word, methods[0][name], methods[1][name])
    for name in sorted({*before.options, *now.options}):
        yield from _other(name, before.options.get(name), now.options.get(name))
    machines = asdict(before.environment), asdict(now.environment)
    for name in machines[1]:
        if name not in _ALIKE_ENOUGH:
            yield from _other(name, machines[0][name], machines[1][name])


def _only(names: set[str], where: str) -> str:
    if not names:
        return ""
    first, *others = sorted(names)
    more = f" and {len(others)} more" if others else ""
    return f"{first}{more} only {where}, "


def _other(word: str, there: object, here: object) -> Iterator[str]:
    if there != here:
        yield f"{word} {_shown(there)} there, {_shown(here)} here"


def _shown(value: object) -> str:
    return (
        "none"
        if value is None
        else "yes"
        if value is True
        else "no"
        if value is False
        else str(value)
    )
