"""Quality against speed, as points; draws nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.bench.plots.labels import device
from localfp4.bench.plots.measured import Measured, common_case, measured
from localfp4.bench.quality import Quality, require_joined
from localfp4.bench.records import Run
from localfp4.bench.report.joined import measures, quality_of
from localfp4.bench.workload import Case
from localfp4.errors import UserError


@dataclass(frozen=True, slots=True)
class Spot:
    """A series on the chart.

    Attributes:
        number: Of its label among all that are drawn: decides its look.
        label: What it is called.
        speed: Tokens per second, mean of the repeats.
        speed_sd: Sample standard deviation; ``None`` of a single one.
        value: What the evaluation found.
        stderr: Its standard error, where that is known.
    """

    number: int
    label: str
    speed: float
    speed_sd: float | None
    value: float
    stderr: float | None


@dataclass(frozen=True, slots=True)
class Trade:
    """A chart: one metric of one task against speed on one device.

    Attributes:
        device: Where the speed was measured.
        case: Which cell's speed it is: the smallest batch that most of the series ran.
        task: What was evaluated.
        metric: What was counted.
        less_is_better: Whether lower values are better.
        spots: In the order of the series.
    """

    device: str
    case: Case
    task: str
    metric: str
    less_is_better: bool
    spots: tuple[Spot, ...]


SPEED = "decode_tokens_per_s"


def trades(runs: Sequence[Run], quality: Sequence[Quality]) -> tuple[Trade, ...]:
    """Return the charts of every device, in the order in which metrics were first seen.

    Raises:
        UserError: Results are of no series of the runs, or of none that was measured.
    """
    require_joined((row.series for run in runs for row in run.rows), quality)
    everything = measured(runs)
    found = tuple(
        trade
        for where in dict.fromkeys(map(device, runs))
        for task, metric in measures(quality)
        if (
            trade := _trade(
                [one for one in everything if one.device == where], task, metric, quality
            )
        )
    )
    if not found:
        raise UserError("Nothing that was evaluated has a decode speed in this run.")
    return found


def _trade(
    here: Sequence[Measured], task: str, metric: str, quality: Sequence[Quality]
) -> Trade | None:
    asked = [one for one in quality if (one.task, one.metric) == (task, metric)]
    joined = [(one, result) for one in here for result in quality_of(one.series, asked)]
    case = common_case((one for one, _ in joined), SPEED)
    if case is None:
        return None
    spots = [
        Spot(one.number, one.label, speed.mean, speed.sd, result.value, result.stderr)
        for one, result in joined
        if (speed := one.spreads.get(case, {}).get(SPEED))
    ]
    return Trade(here[0].device, case, task, metric, asked[0].less_is_better, tuple(spots))
