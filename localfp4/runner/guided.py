"""Which rows of a step are guided, and what may come after each; torch-free."""

from collections.abc import Sequence

import numpy as np

from localfp4.runner.guide import Masks
from localfp4.runner.rows import DrawnRow


def guided_places(rows: Sequence[DrawnRow]) -> list[int]:
    """Return the indices of the rows whose token a guide restricts."""
    return [place for place, row in enumerate(rows) if row.draw.guide is not None]


def guided_masks(rows: Sequence[DrawnRow]) -> Masks:
    """Return the masks of the guided rows, ``[G, ceil(V / 32)]``; there is at least one.

    Args:
        rows: All that are drawn. Those of a sequence follow each other, each with one more guess;
            what its guide has accepted is all before these.
    """
    masks = []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        is_last = following is None or not following.drafts
        if row.draw.guide is not None and is_last:
            masks.append(row.draw.guide.masks(row.drafts))
    return np.concatenate(masks)
