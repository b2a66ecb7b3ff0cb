"""What happens to the input of a linear before its product, and what is learned of it."""

from dataclasses import dataclass

import torch

from localfp4.models.emulated import Narrow, round_activations
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.sites import Site
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming.gathering import Gathering


@dataclass(frozen=True, slots=True)
class InputForm:
    """The form in which a quantised linear reads its input.

    Attributes:
        rotation: Features that are rotated together; 0 rotates none.
        activations: What rows are rounded to.
        scale: float32 ``[]``, of the whole input: largest magnitude / 2688; ``None`` where each
            row has its own.
    """

    rotation: int = 0
    activations: Narrow = "none"
    scale: torch.Tensor | None = None

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows ``x`` ``[T, K]`` in this form, in their type."""
        if self.rotation:
            x = rotate(x, self.rotation)
        if self.activations == "none":
            return x
        return round_activations(x, self.activations, self.scale)


PLAIN = InputForm()
"""As it is."""


@dataclass(slots=True, eq=False)
class Watch:
    """What stands before a site.

    Attributes:
        site: Which.
        form: How it reads its input now.
        gathering: What is learned of the input; ``None`` while nobody looks.
    """

    site: Site
    form: InputForm = PLAIN
    gathering: Gathering | None = None

    def take(self, x: torch.Tensor, routing: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the site multiplies with.

        Args:
            x: ``[T, K]``.
            routing: ``[T]``, what the output of each row is multiplied by; ``None`` is one.
        """
        if self.gathering is not None:
            self.gathering.add(x, routing)
        return self.form.of(x)

    def statistics(self) -> InputStatistics:
        """Return what was learned.

        Raises:
            ValueError: Nobody looked.
        """
        if self.gathering is None:
            raise ValueError(f"nothing is known of the input of {self.site.name}")
        return self.gathering.statistics
