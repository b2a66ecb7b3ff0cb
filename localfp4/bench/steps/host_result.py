"""What the host's share of a step costs, as JSON or as Markdown; knows nothing of engines."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from localfp4.bench.peaks import Limits
from localfp4.bench.report.headings import model_heading
from localfp4.documents.markdown import short, table
from localfp4.messages import ModelInfo
from localfp4.telemetry.environment import Environment


@dataclass(frozen=True, slots=True)
class HostCost:
    """A decode step without the model.

    Attributes:
        batch: Sequences.
        sampling: How tokens are chosen: ``greedy`` or ``top-p 0.95``.
        steps: Steps that were measured.
        step_us: Microseconds of a step, the median.
        p90_us: What nine of ten steps stay below.
        phases: What they consist of, by the name of :data:`localfp4.bench.steps.phases.PHASES`, on
            average and with what it costs to measure them.
    """

    batch: int
    sampling: str
    steps: int
    step_us: float
    p90_us: float
    phases: Mapping[str, float]


def costs_to_json(
    environment: Environment, model: ModelInfo, limits: Limits, costs: Sequence[HostCost]
) -> str:
    """Return ``{"environment", "limits", "model", "rows"}``."""
    report: dict[str, Any] = {
        "environment": asdict(environment),
        "limits": asdict(limits),
        "model": {"name": model.name, "vocab_size": model.vocab_size, "device": model.device},
        "rows": [asdict(cost) for cost in costs],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def costs_to_markdown(
    environment: Environment, model: ModelInfo, limits: Limits, costs: Sequence[HostCost]
) -> str:
    """Return a heading and a table with a row for each batch and way of sampling."""
    method = f"vocabulary of {model.vocab_size} · decode steps with made-up logits"
    phases = list(dict.fromkeys(phase for cost in costs for phase in cost.phases))
    rows = [
        [
            str(cost.batch),
            cost.sampling,
            short(cost.step_us),
            short(cost.p90_us),
            *(short(cost.phases[phase]) if phase in cost.phases else "" for phase in phases),
        ]
        for cost in costs
    ]
    headings = ["batch", "sampling", "μs a step", "p90", *phases]
    return "\n".join([*model_heading(environment, model, limits, method), *table(headings, rows)])
