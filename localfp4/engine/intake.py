"""From a request to a sequence and the answer that it will become; refuses what cannot run."""

import secrets
import time
from dataclasses import dataclass

from localfp4.config import SamplingParams
from localfp4.engine.answer import Answer
from localfp4.engine.load import LoadedModel
from localfp4.engine.sequence import Sequence
from localfp4.errors import RequestError
from localfp4.messages import Request, Started
from localfp4.runner.work import Collect
from localfp4.text.stops import StopStrings


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes requests for one model.

    Attributes:
        model: Which.
    """

    model: LoadedModel

    def take(
        self, request: Request, collect: Collect, collect_from: int = 0
    ) -> tuple[Answer, Started]:
        """Encode a request; of positions from ``collect_from`` on something may be collected.

        Raises:
            RequestError: It asks for something that the model cannot do.
            ContextError: It is longer than the context.
        """
        model, params = self.model, request.sampling
        answer_tokens = 1 if collect is Collect.NOTHING else 0
        prompt = model.prompts.encode(request, answer_tokens=answer_tokens)
        prompt_len = len(prompt.token_ids)
        _check_token_ids(params.logit_bias, model.prompts.vocab_size)
        if model.prompts.tokenizer is None and params.stop:
            raise RequestError(
                "The model folder has no tokenizer.json, so stop strings cannot work."
            )
        longest = min(model.info.max_model_len, model.info.kv_cache_tokens)
        wanted = longest if params.max_tokens is None else prompt_len + params.max_tokens
        sequence = Sequence(
            id=request.id,
            tokens=prompt.token_ids,
            prompt_len=prompt_len,
            max_len=min(wanted, longest),
            sampling=params,
            stop_ids=frozenset(params.stop_token_ids)
            | (frozenset() if params.ignore_eos else model.stop_ids),
            seed=_seed(params),
            collect=collect,
            collect_from=collect_from,
        )
        answer = Answer(
            sequence=sequence,
            reader=model.prompts.reader(request, prompt.token_ids),
            stops=StopStrings(params.stop) if params.stop else None,
            clock=time.perf_counter,
            arrived_s=time.perf_counter(),
            names=model.prompts.token_names,
        )
        return answer, Started(request.id, prompt_len, prompt.dropped_turns)


def _seed(params: SamplingParams) -> int:
    """Return what a request's random numbers depend on: 63 bits."""
    if params.seed is None:
        return secrets.randbits(63)
    return int(params.seed) & (2**63 - 1)


def _check_token_ids(logit_bias: dict[int, float], vocab_size: int) -> None:
    for token in logit_bias:
        if not 0 <= token < vocab_size:
            raise RequestError(
                f"logit_bias names token {token}, which is not in the vocabulary of {vocab_size}."
            )
