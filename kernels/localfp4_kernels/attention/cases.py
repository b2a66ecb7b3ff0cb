"""The launches of this family that a model needs."""

from collections.abc import Iterator

from localfp4_kernels.cases import Case, ModelShape
from localfp4_kernels.target import Target


def attention_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    yield from ()
