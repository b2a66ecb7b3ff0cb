"""A smaller model of the same family, for a machine that is too small; torch-free."""

import re

from localfp4.checkpoint.names.aliases import ALIASES, Alias, alias_named, alias_of

_BILLIONS = re.compile(r"[^:]*:(\d+(?:\.\d+)?)b(?:-|$)", re.ASCII)
"""Parameters as short names tell them; not ``e4b``, which has more than it says."""


def smaller_model(name: str, room_bytes: int, weight_bytes: int) -> Alias | None:
    """Return the largest model of a family that is smaller than one, and whose weights should fit.

    Where nobody told the size of a model, its weights are taken to be as much smaller as it has
    fewer parameters by its name.

    Args:
        name: What the user calls the model.
        room_bytes: What weights may take.
        weight_bytes: What its weights take.
    """
    alias = alias_named(name) or alias_of(name)
    if alias is None:
        return None
    per_billion = weight_bytes / billions if (billions := _billions(alias)) else 0.0
    sized = [
        (one.size_bytes or per_billion * _billions(one), one)
        for one in ALIASES
        if one.family == alias.family and one != alias
    ]
    most = min(room_bytes, weight_bytes - 1)
    fitting = [(size, one) for size, one in sized if 0 < size <= most]
    return max(fitting, key=lambda pair: pair[0], default=(0, None))[1]


def _billions(alias: Alias) -> float:
    found = _BILLIONS.match(alias.name)
    return float(found[1]) if found is not None else 0.0
