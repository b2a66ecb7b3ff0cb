"""A matrix and correlated inputs of it, made up: what methods can be told apart on."""

from dataclasses import dataclass

import torch

from localfp4.models.emulated import Narrow, round_activations
from localfp4.quantize.statistics import InputStatistics

ROWS, COLUMNS, SEEN, UNSEEN = 128, 512, 2048, 512


@dataclass(frozen=True)
class Case:
    """Weights ``[N, K]``, inputs that calibration sees, and others from the same source."""

    weight: torch.Tensor
    seen: torch.Tensor
    unseen: torch.Tensor

    def error(self, weight: torch.Tensor, activations: Narrow = "none") -> float:
        """Squared error of the output on unseen inputs over that of the original, in float64."""
        exact = self.unseen.double() @ self.weight.double().T
        rounded = round_activations(self.unseen, activations).double() @ weight.double().T
        return float((rounded - exact).square().sum() / exact.square().sum())


def case(seed: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> Case:
    """Inputs of half as many causes as columns, and noise; a few channels are five times as loud.

    Weights are from a Laplace distribution, as those of language models nearly are.
    """
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    causes = columns // 2
    mixing = normal(causes, columns) / causes**0.5
    loudness = torch.exp(0.3 * normal(columns))
    loudness[torch.randperm(columns, generator=random)[: columns // 64]] *= 5
    signs = torch.randint(0, 2, (rows, columns), generator=random) * 2 - 1
    magnitudes = -torch.rand(rows, columns, generator=random).clamp(min=1e-6).log()
    seen, unseen = (
        (normal(count, causes) @ mixing + 0.4 * normal(count, columns)) * loudness
        for count in (SEEN, UNSEEN)
    )
    return Case(0.02 * signs * magnitudes, seen, unseen)


def statistics_of(inputs: torch.Tensor) -> InputStatistics:
    """What calibration keeps of rows."""
    hessian = inputs.T @ inputs
    return InputStatistics(
        hessian=hessian,
        square=hessian.diagonal().clone(),
        mean_abs=inputs.abs().sum(0),
        amax=inputs.abs().amax(0),
        weight=float(len(inputs)),
        rows=len(inputs),
        sample=inputs[::8].clone(),
    )
