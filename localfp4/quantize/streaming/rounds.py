"""Which Hessians of a layer are gathered together where a device has no room for all; torch-free.

Each round is another pass of all calibration tokens through the layer in 16 bits.
"""

from collections.abc import Sequence

from localfp4.quantize.sites import Site

_FLOAT = 4


def hessian_bytes(site: Site) -> int:
    """Return the bytes of the Hessian of a site's inputs."""
    return site.columns * site.columns * _FLOAT


def shared_bytes(sites: Sequence[Site]) -> int:
    """Return the bytes of the sums over all experts, which stand in where one was asked too rarely."""
    return _FLOAT * sum({one.columns**2 for one in sites if one.expert is not None})


def rounds_of(sites: Sequence[Site], budget_bytes: int | None) -> list[list[Site]]:
    """Return the sites of each round, in their order; a round has one at least.

    Args:
        sites: Of a layer, those whose Hessians are needed.
        budget_bytes: What all Hessians that there are at once may take; ``None`` is no limit.
    """
    if budget_bytes is None:
        return [list(sites)] if sites else []
    rounds: list[list[Site]] = []
    left = 0
    for site in sites:
        size = hessian_bytes(site)
        if not rounds or size > left:
            rounds.append([])
            left = budget_bytes - shared_bytes(sites)
        rounds[-1].append(site)
        left -= size
    return rounds
