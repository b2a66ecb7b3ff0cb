"""What a run takes of a device besides time: the same words for every library; torch-free."""

from dataclasses import dataclass

from localfp4.bench.records import Arrivals, Measured
from localfp4.bench.workload import Case


@dataclass(slots=True)
class Taken:
    """Filled in when a run is over.

    Attributes:
        memory_bytes: Memory of the device that this process holds; resident memory on a CPU.
        peak_memory_bytes: The most of it, as far as the platform tells.
        joules: What the device drew, with all else that ran on it.
    """

    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    joules: float | None = None

    def with_arrivals(self, arrivals: Arrivals, case: Case) -> Measured:
        """Return all that was measured of a case."""
        return Measured(
            arrivals,
            prompt_tokens=case.batch * case.input_tokens,
            memory_bytes=self.memory_bytes,
            peak_memory_bytes=self.peak_memory_bytes,
            joules=self.joules,
        )
