"""How many bytes the parts of a model's weights take; arithmetic only, no tensors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeightSizes:
    """Bytes of a model's weights as they lie in memory.

    Attributes:
        rest: Outside the layers: embedding, output projection, norms; what is shared counts once.
        layers: Of each layer, without its stacks of experts.
        experts: Of each layer's stacks of experts; 0 where it has none.
        expert_count: Experts of a mixture; 0 without any.
        looked_up: The part of ``rest`` of which a token reads a row only, such as an embedding
            that is not the output projection, too.
        drafting: Of the heads that predict further tokens, not a part of ``rest``.
        beside: Tables that lie in main memory in any case, not a part of ``rest``.
        laid_out: Of the largest that a CPU's products want laid out anew: while it is loaded it is
            there twice.
        tokenizer: Main memory that the tokenizer takes, where the model runs there.
    """

    rest: int
    layers: tuple[int, ...]
    experts: tuple[int, ...]
    expert_count: int = 0
    looked_up: int = 0
    drafting: int = 0
    beside: int = 0
    laid_out: int = 0
    tokenizer: int = 0

    @property
    def total(self) -> int:
        """All bytes that lie on the device where nothing is placed elsewhere."""
        return self.rest + sum(self.layers) + sum(self.experts) + self.drafting
