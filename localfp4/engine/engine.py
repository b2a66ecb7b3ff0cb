"""The loop: requests in, events out, one batch a step. Runs in whatever process it is made in."""

import logging
import time
from collections import deque
from collections.abc import Generator

from localfp4.config import EngineConfig
from localfp4.engine.answer import Answer
from localfp4.engine.faults import is_out_of_memory, no_room_to_answer
from localfp4.engine.footprint import Footprint
from localfp4.engine.gauges import Gauges
from localfp4.engine.intake import Intake, Prepared
from localfp4.engine.launched import Launched
from localfp4.engine.load import LoadedModel, load_model
from localfp4.engine.meter import TokenMeter
from localfp4.engine.pools import PagePools
from localfp4.engine.scheduled import Scheduled
from localfp4.engine.scheduler import Scheduler
from localfp4.engine.state_slots import StateSlots
from localfp4.engine.writing import Saving
from localfp4.messages import Event, Failed, LoadProgress, Request, Stats
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.runner import StepResult
from localfp4.runner.work import Collect

_logger = logging.getLogger(__name__)


def load_engine(config: EngineConfig) -> Generator[LoadProgress, None, "Engine"]:
    """Load a model, yielding progress, and return an engine that runs it.

    Raises:
        UserError: The model cannot be found, read, supported or fitted into memory.
    """
    return Engine(config, (yield from load_model(config)))


class Engine:
    """Runs requests for one model with continuous batching. Not safe to share between threads."""

    def __init__(
        self, config: EngineConfig, model: LoadedModel, *, run_ahead: bool | None = None
    ) -> None:
        """Make an idle engine.

        Args:
            config: What the user asked for.
            model: What it runs.
            run_ahead: Whether a step is launched before the tokens of the one before are known, so
                that the device need not wait for the host. ``None`` does so on GPUs: on a CPU, host
                and device are the same, and what a step brings would only come later.
        """
        self.info, self.prompts = model.info, model.prompts
        self._model = model
        self._intake = Intake(model)
        self._run_ahead = model.runner.device.type == "cuda" if run_ahead is None else run_ahead
        slots = model.state_slots + model.state_snapshots
        self._states = StateSlots(slots, model.store) if slots else None
        self._pools = PagePools(
            model.group_pages,
            [group.window for group in kv_groups(model.runner.decoder.spec)],
            prefix_caching=config.prefix_caching,
            states=self._states,
            store=model.store,
        )
        self._scheduler = Scheduler(
            self._pools,
            max_batch=model.state_slots or config.max_batch,
            max_step_tokens=config.step_tokens(model.runner.device.type),
            states=self._states,
            speculator=model.speculator,
        )
        self._saving = Saving.of(model.store, model.runner, self._pools, self._states)
        self._answers: dict[str, Answer] = {}
        self._pending: list[Event] = []
        self._collected: dict[str, list[StepResult]] = {}
        self._launched: deque[Launched] = deque()
        self._is_moving = False
        self._meter = TokenMeter()
        self._gauges = Gauges(
            scheduler=self._scheduler,
            pools=self._pools,
            meter=self._meter,
            footprint=Footprint(model.runner.device),
            speculator=model.speculator,
            device=str(model.runner.device),
        )

    def add(
        self, request: Request, collect: Collect = Collect.NOTHING, collect_from: int = 0
    ) -> None:
        """Queue a request; the next steps bring its events.

        A request that is refused brings ``Failed``, never an exception. ``collect`` keeps
        something of every position of the prompt for :meth:`take_collected`, scores from
        ``collect_from`` on; nothing is generated then.
        """
        self.enter(self._intake.prepare(request, collect, collect_from))

    def prepare(self, request: Request, *, arrived_s: float) -> Prepared | Failed:
        """Do what takes long before a request can be queued; any other thread may.

        Args:
            request: What is asked.
            arrived_s: When it came, by ``time.perf_counter``.
        """
        return self._intake.prepare(request, arrived_s=arrived_s)

    def enter(self, prepared: Prepared | Failed) -> None:
        """Queue a request that was prepared, or let the next step tell why it is refused."""
        if isinstance(prepared, Failed):
            self._pending.append(prepared)
            return
        answer, request_id = prepared.answer, prepared.started.id
        if request_id in self._answers:
            sentence = f"A request named '{request_id}' is already running."
            self._pending.append(Failed(request_id, sentence))
            return
        self._answers[request_id] = answer
        self._scheduler.add(answer.sequence)
        self._pending.append(prepared.started)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its answer so far is closed with the next step. Unknown ids pass."""
        answer = self._answers.get(request_id)
        if answer is not None:
            self._pending += answer.cancel()
            self._close(answer)
            self._collected.pop(request_id, None)

    def step(self) -> list[Event]:
        """Launch a batch, and return what has come of it, or of the one before it, in order."""
        batch: list[Scheduled] = []
        try:
            if self._launched and not self._scheduler.may_run_ahead():
                self._deliver()
            batch = self._scheduler.schedule()
            self._launch(batch)
            self._deliver(but=1 if self._run_ahead and batch else 0)
        except BaseException as error:
            if not self._goes_on(batch, error):
                raise
        events, self._pending = self._pending, []
        return events

    def has_work(self) -> bool:
        """Whether :meth:`step` has anything to do."""
        return bool(self._pending) or self._scheduler.has_work

    def stats(self) -> Stats:
        """Return a snapshot; costs a fraction of a millisecond."""
        return self._gauges.read()

    def take_collected(self, request_id: str) -> list[StepResult]:
        """Hand over what was collected for a finished request, chunk by chunk."""
        return self._collected.pop(request_id, [])

    def check_pages(self) -> None:
        """Compare the books with the pages and slots that live sequences and steps hold.

        Raises:
            AssertionError: They disagree.
        """
        sequences = [answer.sequence for answer in self._answers.values()]
        self._pools.check(sequences)
        if self._states is not None:
            held = [one.slot for one in sequences]
            for share in self._shares():
                held += (share.spare, share.snapshot)
            self._states.check([slot for slot in held if slot is not None])

    def save(self) -> bool:
        """Write a page to disk while there is nothing else to do, and say whether there was one."""
        return self._saving is not None and self._saving.advance()

    def close(self) -> None:
        """Drop every request; the model's memory goes with the engine. May be called twice."""
        for answer in list(self._answers.values()):
            answer.cancel()
            self._close(answer)
        if self._saving is not None:
            self._saving.finish()

    def _launch(self, batch: list[Scheduled]) -> None:
        """Begin to compute a batch, after what main memory keeps or brings for it has moved."""
        if not batch:
            return
        if self._saving is not None:
            self._saving.interrupt()
        store, runner = self._model.store, self._model.runner
        if store is not None and (transfers := store.take_transfers()):
            self._is_moving = True
            runner.move(transfers)
            self._is_moving = False
        at_s = time.perf_counter()
        step = runner.launch([share.work() for share in batch])
        for share in reversed(batch):
            if share.is_decode:
                break
            self._answers[share.sequence.id].begin(at_s)
        self._scheduler.commit(batch)
        self._launched.append(Launched(batch, step, at_s))

    def _deliver(self, but: int = 0) -> None:
        """Wait for launched steps, ``but`` for the newest so many, and hand out what they bring."""
        while len(self._launched) > but:
            launched = self._launched[0]
            results = launched.step.results()
            now_s = time.perf_counter()
            if self._model.speculator is not None:
                launched.tell(self._model.speculator, self._meter.latest_s, now_s)
            tokens = sum(map(self._take_in, launched.batch, results))
            self._launched.popleft()
            self._meter.add(now_s, tokens)

    def _take_in(self, share: Scheduled, result: StepResult) -> int:
        """Hand a step's result to the sequence's answer, and return how many tokens it has got."""
        sequence, gained = share.sequence, 0
        answer = self._answers.get(sequence.id)
        if answer is None or answer.sequence is not sequence:
            # It was cancelled, or its last token came while this was already being computed.
            self._scheduler.settle(share, 0)
            return 0
        if sequence.collect is not Collect.NOTHING:
            self._keep(answer, share, result)
        if share.completes and not share.draws:
            sequence.finished = "length"
        for sampled in result.sampled:
            self._pending.append(answer.add(sampled))
            gained += 1
            if sequence.finished is not None:
                break
        sequence.proposed = result.drafts
        self._scheduler.settle(share, gained)
        if sequence.finished is not None:
            self._close(answer)
            self._pending.append(answer.finish())
        return gained

    def _keep(self, answer: Answer, share: Scheduled, result: StepResult) -> None:
        """Keep what was asked for of the prompt, and hand it out where it is to be an event."""
        sequence, scores = share.sequence, answer.scores
        if scores is None:
            self._collect(share, result)
            return
        scores.add(sequence, result.scores, result.top)
        if share.completes:
            self._pending.append(scores.event(sequence))
            answer.scores = None
            sequence.end_collecting()

    def _collect(self, share: Scheduled, result: StepResult) -> None:
        """Keep what was asked for of every position; a preempted sequence starts over."""
        chunks = self._collected.setdefault(share.sequence.id, [])
        if share.start <= share.sequence.collect_from:
            chunks.clear()
        chunks.append(result)

    def _goes_on(self, batch: list[Scheduled], error: BaseException) -> bool:
        """Start everyone over after a step failed, and say whether that is all there is to do.

        Where memory ran out, the request that took most of it is given up, and the others go on.
        """
        shares = self._shares()
        if not self._launched or self._launched[-1].batch is not batch:
            shares += batch
        self._launched.clear()
        self._scheduler.abandon(shares)
        if self._is_moving and self._model.store is not None:
            # Nobody knows which pages have come, and which have been kept.
            self._is_moving = False
            self._pools.forget()
            self._model.store.forget()
        alive = [share for share in reversed(shares) if share.sequence.finished is None]
        if not alive or not is_out_of_memory(error):
            return False
        # A chunk of a prompt takes more than a token; of equals, the newest comes first here.
        largest = max(alive, key=lambda share: share.rows).sequence.id
        _logger.warning("out of memory; giving up request %s", largest, exc_info=error)
        self._model.runner.release_memory()
        self._give_up(largest)
        return True

    def _give_up(self, request_id: str) -> None:
        answer = self._answers[request_id]
        answer.cancel()
        self._close(answer)
        self._collected.pop(request_id, None)
        self._pending.append(Failed(request_id, no_room_to_answer(self.info.device), "memory"))

    def _shares(self) -> list[Scheduled]:
        return [share for launched in self._launched for share in launched.batch]

    def _close(self, answer: Answer) -> None:
        self._scheduler.remove(answer.sequence)
        del self._answers[answer.sequence.id]
        if self._model.speculator is not None:
            self._model.speculator.forget(answer.sequence)
