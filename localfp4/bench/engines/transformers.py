"""Hugging Face transformers as a contestant: ``generate``, greedily, the batch as one tensor.

Nothing ends an answer but its length: the model's own generation settings are left out. The time of
a token is when ``generate`` asks whether to stop, which it does after each step, once the device is
done.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.peer import Peer, require_context
from localfp4.bench.engines.taken import Taken
from localfp4.bench.engines.torch_peer import TorchPeer, chosen_device, give_back, told
from localfp4.bench.records import About, Measured
from localfp4.bench.workload import Case, requests
from localfp4.messages import LoadProgress, Request

_PAD = 0
"""All prompts have the same length, so that it is never used; ``generate`` wants one."""


def load(folder: str, dtype: str, device: str | None, threads: int) -> Loading:
    """Load a checkpoint.

    Args:
        folder: Where it is.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto`` for what the checkpoint says.
        device: A torch device string; ``None`` takes a GPU where there is one.
        threads: CPU threads.

    Raises:
        UserError: There is no such device here.
        CaseFailedError: The library is missing, or cannot load the model.
    """
    started = time.perf_counter()
    yield LoadProgress("loading the model into transformers")
    library = _library()
    chosen = chosen_device(device, threads)
    with told("transformers", "load the model"):
        model = library.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            local_files_only=True,
        )
        # Reading to a device at once would need the package accelerate.
        model = model.to(chosen).eval()
        model.generation_config = library.GenerationConfig()
    where = TorchPeer.on(chosen)
    about = About(
        version=library.__version__,
        family=model.config.model_type,
        parameters=model.num_parameters(),
        weight_format=_weight_format(model),
        kernel_path=_kernel_path(model),
        device=where.name,
        dtype=str(model.dtype).removeprefix("torch."),
        weight_bytes=sum(one.nbytes for one in (*model.parameters(), *model.buffers())),
        load_s=time.perf_counter() - started,
        vocab_size=model.config.get_text_config().vocab_size,
    )
    return Transformers(about, model, library, where)


@dataclass(slots=True)
class Transformers(Peer):
    """A loaded model.

    Attributes:
        about: What was loaded.
        model: It; ``None`` once it is closed.
        api: The module transformers.
        where: Its device.
        clock: Tells seconds.
    """

    about: About
    model: Any
    api: Any
    where: TorchPeer
    clock: Callable[[], float] = time.perf_counter

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides, as one batch.

        Raises:
            CaseFailedError: The case exceeds the model's context, or it failed.
        """
        require_context(case, self.model.config.get_text_config().max_position_embeddings)
        drawn = requests(case, self.about.vocab_size, Random(seed))
        try:
            with told("transformers", "generate"), torch.inference_mode():
                moments, taken = self._answer(drawn, case)
        finally:
            give_back(self.where.device)
        return taken.with_arrivals({request.id: moments for request in drawn}, case)

    def close(self) -> None:
        """Free everything. May be called twice."""
        self.model = None
        self.where.energy.close()
        give_back(self.where.device)

    def _answer(self, drawn: Sequence[Request], case: Case) -> tuple[list[float], Taken]:
        """Answer prompts; returns when each token came, and what that took of the device."""
        ids = torch.tensor([request.token_ids for request in drawn], device=self.where.device)
        cache = self._cache_of(ids[:, : case.depth])
        self.where.wait()
        with self.where.measured() as taken:
            moments = self._generate(ids, cache, case.output_tokens)
        return moments, taken

    def _cache_of(self, beginnings: torch.Tensor) -> Any:
        """Compute the tokens ``[B, depth]`` that are in the context before."""
        cache = self.api.DynamicCache(config=self.model.config.get_text_config())
        if beginnings.shape[1]:
            self.model(beginnings, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def _generate(self, ids: torch.Tensor, cache: Any, length: int) -> list[float]:
        """Answer prompts ``[B, T]``; returns when each token came."""
        moments: list[float] = []

        def note_the_time(ids: torch.Tensor, scores: Any, **others: Any) -> torch.Tensor:
            self.where.wait()
            moments.append(self.clock() - started)
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

        criteria = self.api.StoppingCriteriaList([note_the_time])
        started = self.clock()
        self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            do_sample=False,
            max_new_tokens=length,
            pad_token_id=_PAD,
            stopping_criteria=criteria,
        )
        if len(moments) != length:
            raise CaseFailedError(f"An answer has {len(moments)} tokens instead of {length}.")
        return moments


def _weight_format(model: Any) -> str:
    quantization = getattr(model.config, "quantization_config", None)
    if quantization is None:
        return str(model.dtype).removeprefix("torch.")
    method = getattr(quantization, "quant_method", "quantised")
    return str(getattr(method, "value", method))


def _kernel_path(model: Any) -> str:
    attention = getattr(model.config, "_attn_implementation", "") or "its own"
    return f"generate, not compiled; torch linears, {attention} attention, DynamicCache"


def _library() -> Any:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import transformers
    except ImportError as error:
        raise CaseFailedError(
            "transformers is not installed: pip install transformers", "missing"
        ) from error
    library: Any = transformers
    library.logging.disable_progress_bar()
    return library
