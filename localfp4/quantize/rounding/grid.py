"""The numbers that a format can hold, and how its scales are chosen; what every solver rounds to."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import torch

from localfp4.quantize.recipe import Rounding, ScaleRule, WeightFormat
from localfp4.quantize.rounding.codes import Codes, GlobalScale
from localfp4.quantize.rounding.fp8_grid import Fp8Grid
from localfp4.quantize.rounding.mxfp4_grid import Mxfp4Grid
from localfp4.quantize.rounding.nvfp4_grid import Nvfp4Grid


class Grid(Protocol):
    """A number format of weights: codes times scales of groups, times a global scale or none.

    Scales are in the type in which they are stored; codes are one to a byte. Scales are chosen for
    any columns that are whole groups, and applied to columns of which equally many share each.
    """

    @property
    def group_size(self) -> int | None:
        """Columns that share a scale; ``None`` is all of a row."""

    def global_scale(
        self, amax: float, rounding: Rounding, dtype: torch.dtype, device: torch.device
    ) -> GlobalScale | None:
        """Return the scale of a matrix with that largest magnitude; ``None`` where there is none.

        Args:
            amax: Of the matrix and of all that run merged with it.
            rounding: Its scale rule, and whether the scale divides.
            dtype: Of the weights, in which some exporters compute.
            device: Where it goes.
        """

    def candidates(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        *,
        weighted: bool = False,
    ) -> Sequence[torch.Tensor]:
        """Return the scales that a rule chooses from, ``[N, groups]`` each.

        The first is that with which the largest weight of a group becomes the largest of the format.

        Args:
            weight: ``[N, K']``, whole groups, of any floating type.
            global_scale: Of the matrix.
            rule: How scales are chosen.
            weighted: Whether errors of some columns will count more, so that a sweep goes further.
        """

    def choose_scales(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        importance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the scale of each group, ``[N, groups]``: the candidate with the least error.

        Args:
            weight: ``[N, K']``, whole groups, of any floating type; absmax has the bits that
                exporters compute in that type.
            global_scale: Of the matrix.
            rule: How scales are chosen.
            importance: float32 ``[K']``, how much a squared error in a column counts; ``None`` is
                the same everywhere.
        """

    def encode(
        self, weight: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return the nearest code of each weight, ties to even; uint8 ``[N, K']``.

        Args:
            weight: ``[N, K']`` of any floating type.
            scale: ``[N, groups]``, each of K' / groups columns in a row.
            global_scale: Of the matrix.
        """

    def decode(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return what a reader makes of codes, float32 ``[N, K']``."""

    def pack(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> Codes:
        """Return rows of codes, uint8 ``[N, K]``, and their scales as they are kept."""


_GRIDS: Mapping[WeightFormat, Grid] = MappingProxyType(
    {"nvfp4": Nvfp4Grid(), "mxfp4": Mxfp4Grid(), "fp8": Fp8Grid()}
)


def grid(format: WeightFormat) -> Grid:
    """Return the numbers of a format."""
    return _GRIDS[format]
