"""From a request to a sequence and the answer that it will become; refuses what cannot run."""

import secrets
import time
from dataclasses import dataclass

from localfp4.config import SamplingParams
from localfp4.engine.answer import Answer
from localfp4.engine.load import LoadedModel
from localfp4.engine.prompt_scores import PromptScores, check_size
from localfp4.engine.sequence import Sequence
from localfp4.errors import ContextError, RequestError, UserError
from localfp4.messages import Failed, FailureKind, Request, Started
from localfp4.runner.guide import Guide
from localfp4.runner.work import Collect
from localfp4.text.guidance.needed import is_guided
from localfp4.text.stops import StopStrings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can run: the answer that its sequence will become, and its first event."""

    answer: Answer
    started: Started


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes requests for one model; any thread may, beside the one that runs them.

    Attributes:
        model: Which.
    """

    model: LoadedModel

    def prepare(
        self,
        request: Request,
        collect: Collect = Collect.NOTHING,
        collect_from: int = 0,
        *,
        arrived_s: float | None = None,
    ) -> Prepared | Failed:
        """Encode a request, or say why it is refused.

        Args:
            request: What is asked.
            collect: What to keep of every position of the prompt.
            collect_from: The first position of which scores are kept.
            arrived_s: When it came, by ``time.perf_counter``; ``None`` is now.
        """
        if arrived_s is None:
            arrived_s = time.perf_counter()
        try:
            return self._prepare(request, collect, collect_from, arrived_s)
        except UserError as error:
            kind: FailureKind = "context" if isinstance(error, ContextError) else "request"
            return Failed(request.id, str(error), kind)

    def _prepare(
        self, request: Request, collect: Collect, collect_from: int, arrived_s: float
    ) -> Prepared:
        model, params = self.model, request.sampling
        alternatives = request.prompt_logprobs
        max_tokens = params.max_tokens if collect is Collect.NOTHING else 0
        if collect is Collect.NOTHING and alternatives is None:
            params.check_answers()
        prompt = model.prompts.encode(request, answer_tokens=0 if max_tokens == 0 else 1)
        prompt_len = len(prompt.token_ids)
        if alternatives is not None:
            check_size(prompt_len, alternatives)
            collect = Collect.SCORES
        _check_token_ids(params.logit_bias, model.prompts.vocab_size)
        if model.prompts.tokenizer is None and params.stop:
            raise RequestError(
                "The model folder has no tokenizer.json, so stop strings cannot work."
            )
        longest = min(model.info.max_model_len, model.info.kv_cache_tokens)
        wanted = longest if max_tokens is None else prompt_len + max_tokens
        sequence = Sequence(
            id=request.id,
            tokens=prompt.token_ids,
            prompt_len=prompt_len,
            max_len=min(wanted, longest),
            sampling=params,
            stop_ids=frozenset(params.stop_token_ids)
            | (frozenset() if params.ignore_eos else model.stop_ids),
            seed=_seed(params),
            background=request.background,
            client=request.client,
            collect=collect,
            collect_from=collect_from,
            alternatives=min(alternatives or 0, model.prompts.vocab_size),
            guide=None if max_tokens == 0 else _guide(model, request, prompt.token_ids),
        )
        names = model.prompts.token_names
        answer = Answer(
            sequence=sequence,
            reader=model.prompts.reader(request, prompt.token_ids),
            stops=StopStrings(params.stop) if params.stop else None,
            clock=time.perf_counter,
            arrived_s=arrived_s,
            names=names,
            scores=None if alternatives is None else PromptScores(names),
        )
        return Prepared(answer, Started(request.id, prompt_len, prompt.dropped_turns))


def _guide(model: LoadedModel, request: Request, prompt: list[int]) -> Guide | None:
    """Return what holds the answer to the form that is asked for."""
    if not is_guided(request):
        return None
    if model.guides is None:
        raise RequestError(
            "The model folder has no tokenizer.json, so answers cannot be held to a form."
        )
    return model.guides.compile(request, *model.prompts.protocol(request, prompt))


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
