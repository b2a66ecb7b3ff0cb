"""Compiling every kernel a model needs before it is needed, in parallel to loading the weights.

A kernel takes 0.2 to 0.5 s to compile and a model needs some 30 to 60 of them: without this, the
first answer would stop and start. Threads help, since the compiler releases the interpreter lock;
compiled kernels stay on disk, so that the second start takes milliseconds.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import torch
import triton

from localfp4_kernels.launch import Launch
from localfp4_kernels.target import Target


class WarmUp:
    """Compilations that run in the background."""

    def __init__(self, launches: Iterable[Launch], device: torch.device, threads: int) -> None:
        """Start compiling.

        Args:
            launches: What will run. Those that share a specialisation compile once.
            device: The GPU to compile for and load onto.
            threads: How many compile at a time.
        """
        distinct = {launch.specialisation: launch for launch in launches}
        # Triton builds its driver at first use; here, before threads compete for it.
        triton.runtime.driver.active.get_current_target()
        self._pool = ThreadPoolExecutor(
            threads, "compile", initializer=torch.cuda.set_device, initargs=(device,)
        )
        self._pending: list[Future[None]] = [
            self._pool.submit(launch.warm_up) for launch in distinct.values()
        ]

    @property
    def total(self) -> int:
        """How many kernels there are."""
        return len(self._pending)

    def finish(self) -> Iterator[int]:
        """Wait, yielding how many are done; what a compiler raised is raised here."""
        try:
            for done, future in enumerate(as_completed(self._pending), 1):
                future.result()
                yield done
        finally:
            self.close()

    def close(self) -> None:
        """Forget compilations that have not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def use_cache_folder(folder: Path, target: Target) -> Path:
    """Keep compiled kernels in a folder of their own per Triton version and GPU generation.

    A folder that the user chose (``TRITON_CACHE_DIR``) is left alone.

    Returns:
        Where they are kept.
    """
    if chosen := os.environ.get("TRITON_CACHE_DIR"):
        return Path(chosen)
    cache = folder / f"triton-{triton.__version__}-sm{target.capability}"
    triton.knobs.cache.dir = str(cache)
    return cache
