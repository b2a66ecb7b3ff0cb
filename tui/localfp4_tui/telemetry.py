"""What a chat keeps of its looks at the engine and the device; no widgets, no clock."""

from localfp4.messages import ModelInfo
from localfp4_tui.spill_watch import SpillWatch
from localfp4_tui.track import Sample, Track


class Telemetry:
    """The last minutes, and the alarm for memory that others take.

    Attributes:
        track: Samples of the last minutes.
    """

    def __init__(self) -> None:
        self.track = Track()
        self._spill = SpillWatch()
        self._info: ModelInfo | None = None

    @property
    def alarm(self) -> str | None:
        """Why the model is slower than it was, if other programs' memory is the reason."""
        return self._spill.alarm

    def add(self, sample: Sample, info: ModelInfo | None) -> None:
        """Take what is seen now.

        Args:
            sample: What that is.
            info: What is loaded, if anything; what is normal for it says nothing of another.
        """
        self.track.add(sample)
        if info is not self._info:
            self._info = info
            self._spill = SpillWatch()
        if info is not None:
            self._spill.add(sample)
