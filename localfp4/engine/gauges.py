"""How a running engine stands, in figures."""

import time
from dataclasses import dataclass

from localfp4.config import PAGE_SIZE
from localfp4.engine.footprint import Footprint
from localfp4.engine.meter import TokenMeter
from localfp4.engine.pools import PagePools
from localfp4.engine.scheduler import Scheduler
from localfp4.engine.speculation import Speculator
from localfp4.messages import Stats
from localfp4.telemetry.memory import memory_use


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read to say so.

    Attributes:
        scheduler: Knows who runs and who waits.
        pools: Know which pages are taken.
        meter: Counts what is generated.
        footprint: Measures the memory of this process.
        speculator: Counts its guesses, if there is one.
        device: Whose memory is measured.
    """

    scheduler: Scheduler
    pools: PagePools
    meter: TokenMeter
    footprint: Footprint
    speculator: Speculator | None
    device: str

    def read(self) -> Stats:
        """Return a snapshot; costs a fraction of a millisecond."""
        running = self.scheduler.running
        prefilling = [sequence for sequence in running if not sequence.is_decoding]
        memory, speculator, pages = memory_use(self.device), self.speculator, self.pools.tables[0]
        return Stats(
            phase=("prefill" if prefilling else "decode") if running else "idle",
            running=len(running),
            waiting=len(self.scheduler.waiting),
            tokens_per_s=self.meter.per_s(time.perf_counter()) if running else 0.0,
            prefill_done=sum(sequence.computed for sequence in prefilling),
            prefill_total=sum(len(sequence.tokens) for sequence in prefilling),
            kv_used_tokens=pages.in_use * PAGE_SIZE,
            kv_total_tokens=pages.num_pages * PAGE_SIZE,
            memory_used_bytes=memory.used_bytes,
            memory_total_bytes=memory.total_bytes,
            drafted_tokens=0 if speculator is None else speculator.drafted,
            accepted_tokens=0 if speculator is None else speculator.accepted,
            memory_engine_bytes=self.footprint.nbytes,
            preempted=self.scheduler.roster.preempted,
        )
