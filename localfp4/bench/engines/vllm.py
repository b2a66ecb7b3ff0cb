"""vLLM as a contestant: its engine in this process, stepped until every answer has its length.

Prefix caching is off, and end-of-text tokens end nothing. The time of a token is when the step that
brought it has returned. Written for vLLM 0.33.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.peer import Peer, require_context
from localfp4.bench.engines.torch_peer import TorchPeer, chosen_device, give_back, told
from localfp4.bench.records import About, Measured
from localfp4.bench.workload import Case, requests
from localfp4.messages import LoadProgress, Request

_IN_PROCESS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Read when vLLM is imported: its engine runs here, so that its memory is this process's, it
prints nothing, and it tells nobody."""


_USUAL_SHARE, _LEFT_SHARE = 0.9, 0.02
"""Of a GPU's memory: what vLLM takes at most, and what it leaves of what is free."""


def load(
    folder: str,
    dtype: str,
    device: str | None,
    threads: int,
    cases: Collection[Case],
    most: int | None = None,
) -> Loading:
    """Load a checkpoint with room for some cases.

    Args:
        folder: Where it is.
        dtype: ``bfloat16``, ``float16``, ``float32``, or ``auto`` for what the checkpoint says.
        device: A torch device string; ``None`` takes a GPU where there is one.
        threads: CPU threads.
        cases: What it will run.
        most: Tokens that the model was made for, where that is known: vLLM loads for no more.

    Raises:
        UserError: There is no such device here.
        CaseFailedError: The library is missing, or cannot load the model.
    """
    started = time.perf_counter()
    yield LoadProgress("loading the model into vLLM, which takes minutes")
    library = _library(device, threads)
    chosen = chosen_device(device, threads)
    _check_platform(chosen.type)
    with told("vLLM", "load the model"):
        engine = library.LLMEngine.from_engine_args(
            library.EngineArgs(
                model=folder,
                dtype=dtype,
                max_model_len=_context(cases, most),
                max_num_seqs=max(case.batch for case in cases),
                enable_prefix_caching=False,
                generation_config="vllm",
                disable_log_stats=True,
                **_of_gpu(chosen),
            )
        )
    where = TorchPeer.on(chosen)
    settings = engine.model_config
    about = About(
        version=library.__version__,
        family=settings.hf_config.model_type,
        weight_format=settings.quantization or str(settings.dtype).removeprefix("torch."),
        kernel_path=f"vLLM's engine, {settings.quantization or 'unquantised'} linears",
        device=where.name,
        dtype=str(settings.dtype).removeprefix("torch."),
        load_s=time.perf_counter() - started,
        vocab_size=settings.get_vocab_size(),
        notes=_notes(engine, chosen.type),
    )
    return Vllm(about, engine, library, where)


@dataclass(slots=True)
class Vllm(Peer):
    """A loaded model.

    Attributes:
        about: What was loaded.
        engine: vLLM's; ``None`` once it is closed.
        api: The module vllm.
        where: Its device.
        clock: Tells seconds.
    """

    about: About
    engine: Any
    api: Any
    where: TorchPeer
    clock: Callable[[], float] = time.perf_counter

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides, all added at once.

        Raises:
            CaseFailedError: The case has a depth or exceeds the context, or vLLM failed.
        """
        if case.depth:
            reason = "A depth needs the prefix cache, which is off in vLLM here."
            raise CaseFailedError(reason, "unsupported")
        require_context(case, self.engine.model_config.max_model_len)
        drawn = requests(case, self.about.vocab_size, Random(seed))
        try:
            with told("vLLM", "generate"), self.where.measured() as taken:
                arrivals = self._answer(drawn, case.output_tokens)
        except CaseFailedError:
            self._abandon(drawn)
            raise
        return taken.with_arrivals(arrivals, case)

    def close(self) -> None:
        """Free everything. May be called twice."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.engine_core.shutdown()
        del engine
        self.where.energy.close()
        give_back(self.where.device)

    def _answer(self, drawn: Collection[Request], length: int) -> Mapping[str, list[float]]:
        """Step until all is answered; returns when each token came."""
        from vllm.sampling_params import RequestOutputKind

        sampling = self.api.SamplingParams(
            temperature=0,
            max_tokens=length,
            ignore_eos=True,
            detokenize=False,  # nobody else here makes text of tokens
            output_kind=RequestOutputKind.DELTA,
        )
        arrivals: dict[str, list[float]] = {request.id: [] for request in drawn}
        started = self.clock()
        for request in drawn:
            prompt = {"prompt_token_ids": list(request.token_ids or ())}
            self.engine.add_request(request.id, prompt, sampling)
        while self.engine.has_unfinished_requests():
            outputs = self.engine.step()
            now = self.clock() - started
            for output in outputs:
                arrivals[output.request_id] += [now] * len(output.outputs[0].token_ids)
        for times in arrivals.values():
            if len(times) != length:
                raise CaseFailedError(f"An answer has {len(times)} tokens instead of {length}.")
        return arrivals

    def _abandon(self, drawn: Collection[Request]) -> None:
        """Give requests up, so that the next case finds the engine empty."""
        with suppress(Exception):
            self.engine.abort_request([request.id for request in drawn])


def _library(device: str | None, threads: int) -> Any:
    for name, value in _IN_PROCESS.items():
        os.environ.setdefault(name, value)
    if device == "cpu":
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    try:
        import vllm
    except ImportError as error:
        raise CaseFailedError(
            "vLLM is not installed: pip install vllm (Linux only)", "missing"
        ) from error
    return vllm


def _context(cases: Collection[Case], most: int | None) -> int:
    """Return the longest context that is wanted and that the model can have."""
    longest = max(case.length for case in cases)
    return longest if most is None else min(longest, most)


def _of_gpu(chosen: torch.device) -> dict[str, Any]:
    """Return arguments that depend on a GPU, none for a CPU.

    vLLM refuses to load where less than its share of the memory is free, as beside a desktop.
    """
    if chosen.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(chosen)
    share = {"gpu_memory_utilization": min(_USUAL_SHARE, free / total - _LEFT_SHARE)}
    return share | ({"device_ids": [chosen.index]} if chosen.index else {})


def _check_platform(kind: str) -> None:
    """Refuse a device that this build of vLLM does not run on; each runs on one kind."""
    from vllm.platforms import current_platform

    built_for: str = current_platform.device_type
    if built_for != kind:
        raise CaseFailedError(
            f"This build of vLLM runs on {built_for or 'no device'}, not on {kind}.", "unsupported"
        )


def _notes(engine: Any, kind: str) -> tuple[str, ...]:
    if kind == "cpu":
        return ()
    share = engine.vllm_config.cache_config.gpu_memory_utilization
    return (f"vLLM takes {share:.0%} of the GPU's memory for itself, whatever a case needs.",)
