"""A step under way."""

from dataclasses import dataclass

from localfp4.engine.scheduled import Scheduled
from localfp4.engine.speculation import Speculator
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

    def tell(self, speculator: Speculator, before_s: float, now_s: float) -> None:
        """Tell a speculator how long the step took, if it did nothing but decode.

        Args:
            speculator: Chooses how many guesses pay.
            before_s: When the step before it was done.
            now_s: When this one was.
        """
        # A step whose answers had ended is read when the next request comes, however late.
        is_late = not any(share.is_current for share in self.batch)
        if self.batch[-1].is_decode and not is_late:
            began_s = max(self.at_s, before_s)
            speculator.measure(sum(share.rows for share in self.batch), now_s - began_s)
