"""Loading what is measured, with what its limits follow from."""

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch

from localfp4.bench.limits import measure_limits
from localfp4.bench.roofline import Roofline
from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.load import LoadedModel, load_model
from localfp4.messages import LoadProgress
from localfp4.models.cache import Cache, LayerCache
from localfp4.models.size import weight_sizes
from localfp4.telemetry.memory import system_memory


@dataclass(frozen=True, slots=True)
class Bench:
    """A loaded model.

    Attributes:
        engine: Runs it.
        model: What the engine runs.
        roofline: Where its limit is.
    """

    engine: Engine
    model: LoadedModel
    roofline: Roofline

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.runner.device

    def measured_again(self) -> Roofline:
        """Return the limit after another look at the device, which may have been disturbed before."""
        again = measure_limits(self.device, _free_bytes(self.device))
        return replace(self.roofline, limits=self.roofline.limits.best(again))

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()


def load_bench(config: EngineConfig) -> Generator[LoadProgress, None, Bench]:
    """Load a model, yielding progress, and measure its device.

    Raises:
        UserError: The model cannot be found, read, supported or fitted into memory.
    """
    model = yield from load_model(config)
    yield LoadProgress("measuring the limits of the device")
    runner = model.runner
    roofline = Roofline(
        limits=measure_limits(runner.device, _free_bytes(runner.device)),
        spec=runner.decoder.spec,
        sizes=weight_sizes(runner.decoder),
        kv_dtype=_kv_dtype(runner.caches),
    )
    return Bench(Engine(config, model), model, roofline)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(device)
        return free
    return system_memory().available_bytes


def _kv_dtype(caches: tuple[Cache, ...]) -> str:
    """Return what the KV cache was allocated as; models without one have any."""
    for cache in caches:
        if isinstance(cache, LayerCache):
            if cache.k.dtype is torch.uint8:
                return "fp8" if isinstance(cache.k_scale, torch.Tensor) else "fp8-static"
            return str(cache.k.dtype).removeprefix("torch.")
    return "bfloat16"
