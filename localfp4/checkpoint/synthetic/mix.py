"""Which parts of a model are quantised, and how; torch-free."""

from dataclasses import dataclass
from typing import Literal

from localfp4.checkpoint.synthetic.forms import Form


@dataclass(frozen=True, slots=True)
class Mix:
    """What the large matrices of a model are stored as; all else is BF16.

    Attributes:
        attention: Projections of attention, and the large ones of Gated DeltaNet.
        mlp: Dense feed-forward networks.
        experts: Experts of a mixture, and the one that every token visits.
        stacks: Experts in one tensor, which gpt-oss has.
        head: The output projection, where it is not the embedding.
    """

    attention: Form = "bf16"
    mlp: Form = "bf16"
    experts: Form = "bf16"
    stacks: Literal["bf16", "mxfp4"] = "bf16"
    head: Form = "bf16"


PLAIN = Mix()
"""Nothing is quantised."""
