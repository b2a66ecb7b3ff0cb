"""How a model's operators run: as Triton kernels for a target, or in plain torch.

Plain torch may round the inputs of quantised linears as kernels for a target would.
"""

from dataclasses import dataclass

from localfp4_kernels.dispatch import Choice, Kind, Phase, Precision, Product, choose
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class Execution:
    """What was decided before a model is loaded.

    Attributes:
        target: What kernels run on; ``None`` runs plain torch on expanded weights.
        precision: Width of weights and activations that was asked for.
        triton: Version of Triton, major and minor.
        emulated: The card whose kernels' rounding of inputs plain torch copies; ``None`` leaves
            inputs as they are.
    """

    target: Target | None = None
    precision: Precision = Precision.AUTO
    triton: tuple[int, int] = (3, 7)
    emulated: Target | None = None

    @property
    def keeps_packed(self) -> bool:
        """Whether quantised weights stay as they are stored."""
        return self.target is not None and self.precision is not Precision.BF16

    @property
    def is_interpreted(self) -> bool:
        """Whether kernels run in Triton's interpreter, slowly."""
        return self.target is not None and self.target.interpreted

    @property
    def running(self) -> Target:
        """The target, where there is one.

        Raises:
            ValueError: Plain torch runs.
        """
        if self.target is None:
            raise ValueError("plain torch has no target")
        return self.target

    def choose(
        self, kind: Kind, phase: Phase, *, tokens: int, columns: int, activations: int
    ) -> Choice:
        """Choose the kernel of a product, or the one to emulate.

        Raises:
            ValueError: The precision that was asked for cannot run on the target.
        """
        product = Product(kind, phase, tokens, activations, columns)
        return choose(product, self.emulated or self.running, self.precision, self.triton)


TORCH = Execution()
"""Plain torch on expanded weights, on any device."""
