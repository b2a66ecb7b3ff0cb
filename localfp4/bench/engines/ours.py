"""This engine as a contestant, in this process."""

from collections.abc import Collection
from pathlib import Path
from random import Random

import torch

from localfp4 import __version__
from localfp4.bench.device.energy import EnergyMeter
from localfp4.bench.device.limits import measure_limits
from localfp4.bench.device.products import products_of
from localfp4.bench.device.roofline import Roofline
from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.depth import fill
from localfp4.bench.engines.measure import measure
from localfp4.bench.peaks import Limits
from localfp4.bench.planning.sizing import sized
from localfp4.bench.records import About, Measured, Work
from localfp4.bench.workload import Case, requests
from localfp4.checkpoint.hub import find
from localfp4.checkpoint.store.cache import revision_of
from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.faults import no_room_to_load, out_of_memory_as
from localfp4.engine.footprint import Footprint
from localfp4.engine.garbage import collected_later
from localfp4.engine.load import LoadedModel, load_model
from localfp4.models.cache import Cache, LayerCache
from localfp4.telemetry.memory import reset_peak, system_memory


class Ours:
    """An engine that is loaded in this process.

    Attributes:
        engine: Runs the model.
        model: What it runs.
        config: What it was loaded with.
    """

    def __init__(
        self,
        engine: Engine,
        model: LoadedModel,
        config: EngineConfig,
        *,
        runs: str = "",
        note: str = "",
        ignore_eos: bool = True,
    ) -> None:
        """Watch an engine.

        Args:
            engine: Idle.
            model: What it runs.
            config: What it was loaded with.
            runs: What runs where the format that was asked for cannot, and why.
            note: What else is to be said of the format, a sentence.
            ignore_eos: Whether answers have their exact length, whatever the model says.
        """
        self.engine = engine
        self.model = model
        self.config = config
        source = find(config.model)
        self._revision = revision_of(source) if isinstance(source, Path) else ""
        self._runs = runs
        self._notes = (*([note] if note else []), *engine.info.notes)
        self._ignore_eos = ignore_eos
        self._roofline = _roofline(model, config)
        self._footprint = Footprint(self.device)
        on_cpu = self.device.type == "cpu"
        self._energy = EnergyMeter.open(None if on_cpu else engine.info.device_uuid)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.runner.device

    @property
    def about(self) -> About:
        """What was loaded."""
        info = self.engine.info
        return About(
            version=__version__,
            family=info.family,
            parameters=info.parameters,
            weight_format=info.weight_format,
            kernel_path=info.kernel_path,
            device=info.device,
            dtype=info.dtype,
            weight_bytes=info.weight_bytes,
            kv_cache_bytes=info.kv_cache_bytes,
            load_s=info.load_s,
            vocab_size=info.vocab_size,
            runs=self._runs,
            revision=self._revision,
            notes=self._notes,
        )

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides, and measure time, memory and energy.

        Raises:
            CaseFailedError: The case does not fit what was loaded, or was not answered to its end.
        """
        if misfit := case.misfit(self.engine.info):
            raise CaseFailedError(misfit, "does_not_fit")
        vocabulary = self.engine.info.vocab_size
        drawn = requests(case, vocabulary, Random(seed), ignore_eos=self._ignore_eos)
        fill(self.engine, case, drawn)
        reset_peak(str(self.device))
        self._energy.start()
        arrivals = measure(self.engine, drawn, depth=case.depth)
        return Measured(
            arrivals,
            case.batch * case.input_tokens,
            joules=self._energy.joules(),
            memory_bytes=self._footprint.nbytes,
            peak_memory_bytes=self._footprint.peak_nbytes,
        )

    def work(self, case: Case) -> Work:
        """Return what a case takes at least."""
        return self._roofline.work(case)

    def limits(self) -> Limits:
        """Measure the device for a second or two, and leave no memory taken."""
        runner = self.model.runner
        runner.release_memory()
        try:
            return measure_limits(self.device, _free_bytes(self.device), runner.decoder.dtype)
        finally:
            runner.release_memory()

    def close(self) -> None:
        """Free the engine. May be called twice."""
        self._energy.close()
        self.engine.close()


def load(
    config: EngineConfig,
    cases: Collection[Case],
    *,
    runs: str = "",
    note: str = "",
    ignore_eos: bool = True,
) -> Loading:
    """Load a model with room for some cases, yielding progress.

    Args:
        config: What was asked for.
        cases: What it will run, at least one.
        runs: What runs where the format that was asked for cannot, and why.
        note: What else is to be said of the format, a sentence.
        ignore_eos: Whether answers have their exact length, whatever the model says.

    Raises:
        UserError: The model cannot be found, read, supported or fitted into memory.
    """
    config = sized(config, cases)
    # Of one that broke in this process; it would count as another program's.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with out_of_memory_as(no_room_to_load(config.model)), collected_later():
        model = yield from load_model(config)
        engine = Engine(config, model)
    return Ours(engine, model, config, runs=runs, note=note, ignore_eos=ignore_eos)


def _roofline(model: LoadedModel, config: EngineConfig) -> Roofline:
    runner = model.runner
    return Roofline(
        spec=runner.decoder.spec,
        sizes=model.sizes,
        kv_dtype=_kv_dtype(runner.caches),
        step_tokens=config.step_tokens(runner.device.type),
        products=products_of(runner.decoder),
    )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
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
