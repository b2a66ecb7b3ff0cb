"""What a step costs the host: the whole engine but for the model, whose logits are made up.

The lowest layer alone is replaced: scheduler, sampler, detokenizer and events are those that answer
requests.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from statistics import median, quantiles

import torch

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.ours import Ours
from localfp4.bench.steps.host_result import HostCost
from localfp4.bench.steps.phases import Watch
from localfp4.bench.workload import Case, requests
from localfp4.config import SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Request
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.runner.runner import Runner

BATCHES = (1, 64)
_PROMPT, _WARM_STEPS, _STEPS = 32, 16, 200
_TOP_P = 0.95
_SETS = 16


@dataclass(frozen=True, slots=True)
class MadeUpDecoder(Decoder):
    """A decoder that computes nothing.

    Attributes:
        made_up: float32 ``[sets, rows, V]``; the position of a token says which set it gets, so
            that answers vary.
    """

    made_up: torch.Tensor | None = None

    def forward(self, batch: ForwardBatch, caches: Sequence[Cache]) -> torch.Tensor:
        """Return the positions as hidden states, ``[T, 1]``."""
        return batch.positions[:, None]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits ``[R, V]`` by the position of the first row."""
        assert self.made_up is not None
        return self.made_up[int(hidden[0, 0]) % _SETS, : len(hidden)]


def host_costs(loaded: Ours, seed: int) -> Iterator[HostCost]:
    """Measure steps of one sequence and of many, greedy and with top-p.

    Args:
        loaded: A model, with room for :func:`host_cases`; its vocabulary and tokenizer count.
        seed: Decides the logits.

    Raises:
        CaseFailedError: The batch does not fit the KV cache.
    """
    runner = loaded.model.runner
    generator = torch.Generator().manual_seed(seed)
    size = (_SETS, max(BATCHES), runner.decoder.spec.vocab_size)
    # Trained models are sure of most tokens; this gives the likeliest about a tenth.
    made_up = 3 * torch.randn(size, generator=generator)
    inherited = {field.name: getattr(runner.decoder, field.name) for field in fields(Decoder)}
    decoder = MadeUpDecoder(**inherited, made_up=made_up.to(runner.device))
    made_up_runner = Runner(decoder, runner.caches, runner.device)
    engine = Engine(loaded.config, replace(loaded.model, runner=made_up_runner))
    greedy = {batch: SamplingParams(temperature=0) for batch in BATCHES}
    for batch, sampling in greedy.items():
        yield _cost(engine, batch, "greedy", sampling)
    yield _cost(engine, max(BATCHES), f"top-p {_TOP_P}", SamplingParams(top_p=_TOP_P, seed=seed))


def host_cases() -> tuple[Case, ...]:
    """Return what is run, for which the model needs room."""
    return tuple(map(_case, BATCHES))


def _case(batch: int) -> Case:
    return Case(batch, _PROMPT, 2 * (_WARM_STEPS + _STEPS))


def _cost(engine: Engine, batch: int, name: str, sampling: SamplingParams) -> HostCost:
    case = _case(batch)
    if misfit := case.misfit(engine.info):
        raise CaseFailedError(misfit)
    drawn = [
        _with(request, sampling) for request in requests(case, engine.info.vocab_size, Random(0))
    ]
    for request in drawn:
        engine.add(request)
    for _ in range(_WARM_STEPS):
        engine.step()
    times = [_timed(engine) for _ in range(_STEPS)]
    with Watch() as watch:
        for _ in range(_STEPS):
            engine.step()
    for request in drawn:
        engine.cancel(request.id)
    while engine.has_work():
        engine.step()
    nine_of_ten = quantiles(times, n=10)[-1]
    return HostCost(batch, name, _STEPS, median(times), nine_of_ten, watch.microseconds(_STEPS))


def _with(request: Request, sampling: SamplingParams) -> Request:
    """Return a request that samples otherwise, and as long as before."""
    length = request.sampling.max_tokens
    return replace(request, sampling=replace(sampling, max_tokens=length, ignore_eos=True))


def _timed(engine: Engine) -> float:
    started = time.perf_counter()
    engine.step()
    return 1e6 * (time.perf_counter() - started)
