"""A step under way."""

from dataclasses import dataclass

from localfp4.engine.scheduled import Scheduled
from localfp4.runner.runner import Step


@dataclass(frozen=True, slots=True)
class Launched:
    """A step that the device is computing, or has computed by now.

    Attributes:
        batch: What it does.
        step: Waits for it.
        at_s: When it was launched, in seconds.
    """

    batch: list[Scheduled]
    step: Step
    at_s: float
