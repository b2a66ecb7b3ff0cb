"""The loop: requests in, events out, one batch a step. Runs in whatever process it is made in."""

import secrets
import time
from collections.abc import Generator

from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.answer import Answer
from localfp4.engine.blocks import PageTable
from localfp4.engine.load import LoadedModel, load_model
from localfp4.engine.meter import TokenMeter
from localfp4.engine.scheduler import Scheduled, Scheduler
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from localfp4.errors import ContextError, RequestError
from localfp4.messages import Event, Failed, LoadProgress, Request, Started, Stats
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.runner import StepResult
from localfp4.runner.work import Collect, Draw, Work
from localfp4.telemetry.memory import memory_use
from localfp4.text.stops import StopStrings


def load_engine(config: EngineConfig) -> Generator[LoadProgress, None, "Engine"]:
    """Load a model, yielding progress, and return an engine that runs it.

    Raises:
        UserError: The model cannot be found, read, supported or fitted into memory.
    """
    return Engine(config, (yield from load_model(config)))


class Engine:
    """Runs requests for one model with continuous batching. Not safe to share between threads."""

    def __init__(self, config: EngineConfig, model: LoadedModel) -> None:
        self.info = model.info
        self._model = model
        self._device = str(model.runner.device)
        slots = model.state_slots + model.state_snapshots
        self._states = StateSlots(slots) if slots else None
        self._pages = PageTable(
            model.pages, prefix_caching=config.prefix_caching, states=self._states
        )
        self._scheduler = Scheduler(
            self._pages,
            max_batch=model.state_slots or config.max_batch,
            max_step_tokens=config.max_step_tokens,
            states=self._states,
        )
        self._answers: dict[str, Answer] = {}
        self._pending: list[Event] = []
        self._collected: dict[str, list[StepResult]] = {}
        self._meter = TokenMeter()

    def add(self, request: Request, collect: Collect = Collect.NOTHING) -> None:
        """Queue a request; the next steps bring its events.

        A request that is refused brings ``Failed``, never an exception. ``collect`` keeps
        something of every position of the prompt for :meth:`take_collected`; nothing is
        generated then.
        """
        try:
            self._pending.append(self._start(request, collect))
        except (RequestError, ContextError) as error:
            self._pending.append(Failed(request.id, str(error)))

    def cancel(self, request_id: str) -> None:
        """Stop a request; its answer so far is closed with the next step. Unknown ids pass."""
        answer = self._answers.get(request_id)
        if answer is not None:
            self._close(answer)
            self._collected.pop(request_id, None)
            self._pending += answer.cancel()

    def step(self) -> list[Event]:
        """Run one batch and return what came of it, in order."""
        batch = self._scheduler.schedule()
        groups = len(kv_groups(self._model.runner.decoder.spec))
        try:
            results = (
                self._model.runner.run([_work(item, groups) for item in batch]) if batch else []
            )
        except BaseException:
            self._scheduler.abandon(batch)
            raise
        self._scheduler.commit(batch)
        events, self._pending = self._pending, []
        for item, result in zip(batch, results, strict=True):
            events += self._deliver(item, result)
        self._meter.add(time.perf_counter(), sum(len(r.sampled) for r in results))
        return events

    def has_work(self) -> bool:
        """Whether :meth:`step` has anything to do."""
        return bool(self._pending) or self._scheduler.has_work

    def stats(self) -> Stats:
        """Return a snapshot; costs a fraction of a millisecond."""
        running = self._scheduler.running
        prefilling = [sequence for sequence in running if not sequence.is_decoding]
        memory = memory_use(self._device)
        return Stats(
            phase=("prefill" if prefilling else "decode") if running else "idle",
            running=len(running),
            waiting=len(self._scheduler.waiting),
            tokens_per_s=self._meter.per_s(time.perf_counter()) if running else 0.0,
            prefill_done=sum(sequence.computed for sequence in prefilling),
            prefill_total=sum(len(sequence.tokens) for sequence in prefilling),
            kv_used_tokens=self._pages.in_use * PAGE_SIZE,
            kv_total_tokens=self._pages.num_pages * PAGE_SIZE,
            memory_used_bytes=memory.used_bytes,
            memory_total_bytes=memory.total_bytes,
        )

    def take_collected(self, request_id: str) -> list[StepResult]:
        """Hand over what was collected for a finished request, chunk by chunk."""
        return self._collected.pop(request_id, [])

    def check_pages(self) -> None:
        """Compare the books with the pages and slots that live sequences hold.

        Raises:
            AssertionError: They disagree.
        """
        sequences = [answer.sequence for answer in self._answers.values()]
        self._pages.check([sequence.pages for sequence in sequences])
        if self._states is not None:
            self._states.check([one.slot for one in sequences if one.slot is not None])

    def close(self) -> None:
        """Drop every request; the model's memory goes with the engine. May be called twice."""
        for answer in list(self._answers.values()):
            self._close(answer)

    def _start(self, request: Request, collect: Collect) -> Started:
        """Turn a request into a queued sequence."""
        if request.id in self._answers:
            raise RequestError(f"A request named '{request.id}' is already running.")
        answer_tokens = 1 if collect is Collect.NOTHING else 0
        prompt = self._model.prompts.encode(request, answer_tokens=answer_tokens)
        prompt_len, params = len(prompt.token_ids), request.sampling
        _check_token_ids(params.logit_bias, self._model.prompts.vocab_size)
        longest = min(self.info.max_model_len, self.info.kv_cache_tokens)
        wanted = longest if params.max_tokens is None else prompt_len + params.max_tokens
        sequence = Sequence(
            id=request.id,
            tokens=prompt.token_ids,
            prompt_len=prompt_len,
            max_len=min(wanted, longest),
            sampling=params,
            stop_ids=frozenset(params.stop_token_ids)
            | (frozenset() if params.ignore_eos else self._model.stop_ids),
            seed=_seed(params),
            collect=collect,
        )
        tokenizer = self._model.prompts.tokenizer
        if tokenizer is None and params.stop:
            raise RequestError(
                "The model folder has no tokenizer.json, so stop strings cannot work."
            )
        self._answers[request.id] = Answer(
            sequence=sequence,
            reader=self._model.prompts.reader(request, prompt.token_ids),
            stops=StopStrings(params.stop),
            clock=time.perf_counter,
            arrived_s=time.perf_counter(),
        )
        self._scheduler.add(sequence)
        return Started(request.id, prompt_len, prompt.dropped_turns)

    def _deliver(self, item: Scheduled, result: StepResult) -> list[Event]:
        """Hand a step's result to the sequence's answer."""
        sequence = item.sequence
        answer = self._answers[sequence.id]
        events: list[Event] = []
        if sequence.collect is not Collect.NOTHING:
            # A preempted sequence starts over, and so does what is collected.
            chunks = self._collected.setdefault(sequence.id, [])
            if item.start == 0:
                chunks.clear()
            chunks.append(result)
            if item.completes:
                sequence.finished = "length"
        for sampled in result.sampled:
            events.append(answer.add(sampled))
        if sequence.finished is not None:
            self._close(answer)
            events.append(answer.finish())
        return events

    def _close(self, answer: Answer) -> None:
        self._scheduler.remove(answer.sequence)
        del self._answers[answer.sequence.id]


def _work(item: Scheduled, groups: int) -> Work:
    """Say what the runner has to do for a scheduled sequence."""
    sequence = item.sequence
    draws = item.completes and sequence.collect is Collect.NOTHING
    return Work(
        tokens=sequence.tokens,
        start=item.start,
        end=item.end,
        pages=[sequence.pages] * groups,
        is_decode=item.is_decode,
        draw=Draw(
            params=sequence.sampling,
            tokens=sequence.tokens,
            prompt_len=sequence.prompt_len,
            seed=sequence.seed,
        )
        if draws
        else None,
        collect=sequence.collect,
        slot=sequence.slot,
        restore=item.restore,
        snapshot=item.snapshot,
    )


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
