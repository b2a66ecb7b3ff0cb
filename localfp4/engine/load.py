"""From a model's name to everything an engine needs; the only place where the parts meet."""

import gc
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.synthetic.model import SyntheticModel
from localfp4.config import EngineConfig
from localfp4.engine.faults import is_out_of_memory, ran_out_while_loading
from localfp4.engine.heap import give_back_freed_memory
from localfp4.engine.host_store import HostStore
from localfp4.engine.info import model_info
from localfp4.engine.keeping import make_store
from localfp4.engine.kernels import compilation
from localfp4.engine.phases import WEIGHTS, Phases
from localfp4.engine.planned import Part, Planned, plan_model
from localfp4.engine.prompt import PromptEncoder
from localfp4.engine.self_test import self_test
from localfp4.engine.speculation import MOST_DRAFTS, Speculator
from localfp4.engine.static_kv import static_kv_scales
from localfp4.errors import ContextError
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.load import load_decoder, outline_decoder
from localfp4.models.placement import Placement
from localfp4.models.plan import shrunk
from localfp4.models.weight_sizes import WeightSizes
from localfp4.runner.drawn import Proposer
from localfp4.runner.graphs import GraphSizes
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.page_io import PageIo
from localfp4.runner.propose_draft import draft_proposer
from localfp4.runner.propose_mtp import mtp_proposer
from localfp4.runner.residency import make_residency
from localfp4.runner.runner import Runner
from localfp4.telemetry.memory import system_memory
from localfp4.text.guidance.compiler import GuideCompiler
from localfp4.text.stop_tokens import stop_token_ids
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

_RECORDED_ROWS = 64
"""Rows of a step up to which it is recorded even where fewer sequences run: they may have guesses
to check."""

Loading = Generator[LoadProgress, None, "LoadedModel"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run.

    Attributes:
        runner: Runs its steps.
        prompts: Encodes requests.
        stop_ids: Tokens that end an answer.
        group_pages: Size of each KV group's cache in pages.
        state_slots: Sequences for which recurrent layers have room; 0 for models without any.
        state_snapshots: Copies of their states for which there is room besides.
        sizes: What its weights take, as if all lay on the device.
        info: What the front end shows.
        speculator: Guesses tokens ahead.
        store: Keeps pages that the cache gives away.
        guides: Makes what holds answers to a form; ``None`` where there is no tokenizer.
    """

    runner: Runner
    prompts: PromptEncoder
    stop_ids: frozenset[int]
    group_pages: tuple[int, ...]
    state_slots: int
    state_snapshots: int
    sizes: WeightSizes
    info: ModelInfo
    speculator: Speculator | None = None
    store: HostStore | None = None
    guides: GuideCompiler | None = None


def load_model(config: EngineConfig) -> Loading:
    """Find, check and load a model, yielding progress.

    Where memory runs out although the plan fitted, since another program took it meanwhile, a
    context that nobody asked for is made smaller, once.

    Raises:
        UserError: It cannot be found, read, supported or fitted into memory.
    """
    started, phases = time.perf_counter(), Phases()
    phases.enter("find")
    planned = yield from plan_model(config, phases)
    try:
        return (yield from _load(planned, phases, started))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        smaller = shrunk(config, planned.plan)
        if smaller is None:
            raise ContextError(ran_out_while_loading(config.model, planned.plan)) from error
    # Outside the handler, whose error holds on to what was loaded.
    gc.collect()
    if planned.device.type == "cuda":
        torch.cuda.empty_cache()
    yield LoadProgress("loading once more with a shorter context")
    planned = yield from plan_model(smaller, phases)
    return (yield from _load(planned, phases, started))


def _load(planned: Planned, phases: Phases, started: float) -> Loading:
    """Load what was planned."""
    config, plan, checkpoint = planned.config, planned.plan, planned.main.opened.checkpoint
    tokenizer = _tokenizer(checkpoint)
    template = ChatTemplate.from_folder(checkpoint.folder)
    if template is not None:
        template.prepare()
    with compilation(_outlines(planned), plan.kv_dtype, config, planned.device) as rest:
        phases.enter(WEIGHTS)
        decoder = yield from _decoder(planned, planned.main, plan.placement)
        draft = None
        if planned.draft is not None:
            draft = yield from _decoder(planned, planned.draft, Placement())
        phases.enter("kernels")
        yield from rest
    phases.enter("cache and graphs")
    yield LoadProgress("allocating the KV cache")
    runner, store = _runner(planned, decoder, draft)
    _record(planned, runner)
    phases.enter("self-test")
    doubts = yield from _doubts(planned, runner, tokenizer)
    vocab_size = planned.main.spec.vocab_size
    prompts = PromptEncoder(tokenizer, template, vocab_size, plan.max_model_len)
    stop_ids = stop_token_ids(checkpoint.folder, tokenizer, template)
    return LoadedModel(
        runner=runner,
        prompts=prompts,
        stop_ids=stop_ids,
        group_pages=plan.group_pages,
        state_slots=plan.state_slots,
        state_snapshots=plan.state_snapshots,
        sizes=planned.main.sizes(plan.dtype),
        info=model_info(
            planned,
            decoder,
            phases.result(),
            load_s=time.perf_counter() - started,
            has_chat_template=template is not None,
            thinks=prompts.thinks,
            notes=(*_without_graphs(runner), *doubts),
        ),
        speculator=planned.drafters.speculator(),
        store=store,
        guides=None if tokenizer is None else GuideCompiler(tokenizer, stop_ids, vocab_size),
    )


def _outlines(planned: Planned) -> list[Decoder]:
    """Return what shows which kernels will be launched, wherever the weights lie."""
    found = [part.outline.decoder for part in planned.parts if part.outline is not None]
    if found and not planned.plan.placement.is_whole:
        main = planned.main
        found[0] = outline_decoder(
            main.opened.checkpoint,
            main.spec,
            planned.dtype,
            planned.execution,
            planned.plan.placement,
        )
    return found


def _decoder(
    planned: Planned, part: Part, placement: Placement
) -> Generator[LoadProgress, None, Decoder]:
    steps = load_decoder(
        part.opened.checkpoint,
        part.spec,
        planned.dtype,
        planned.device,
        planned.execution,
        planned.plan.max_model_len,
        placement,
        order=() if part.outline is None else part.outline.order,
    )
    while True:
        try:
            yield next(steps)
        except StopIteration as end:
            decoder: Decoder = end.value
            return decoder
        finally:
            give_back_freed_memory()


def _runner(
    planned: Planned, decoder: Decoder, draft: Decoder | None
) -> tuple[Runner, HostStore | None]:
    """Give a model its caches, and what runs beside it."""
    config, plan, device = planned.config, planned.plan, planned.device
    caches = _caches(planned)
    graphs = None
    if config.cuda_graphs and planned.execution.target is not None:
        rows = max(plan.state_slots or config.max_batch, _RECORDED_ROWS)
        graphs = GraphSizes(rows, plan.max_model_len)
    proposer, guessing = _proposer(planned, decoder, draft, graphs)
    pages, store = _store(planned, (*caches, *guessing))
    runner = Runner(
        decoder,
        caches,
        device,
        graphs=graphs,
        pages=pages,
        proposer=proposer,
        residency=make_residency(decoder, device),
    )
    return runner, store


def _record(planned: Planned, runner: Runner) -> None:
    """Record the steps of one sequence, for which nobody shall have to wait in an answer."""
    guesses = planned.drafters.speculator() is not None
    for rows in range(1, 2 + (MOST_DRAFTS if guesses else 0)):
        runner.record(rows=rows)


def _caches(planned: Planned) -> tuple[Cache, ...]:
    plan, main = planned.plan, planned.main
    scales = {}
    if plan.kv_dtype == "fp8-static":
        scales = static_kv_scales(main.opened.checkpoint, main.spec)
    return allocate_caches(
        main.spec,
        plan.group_pages,
        plan.kv_dtype,
        planned.device,
        slots=plan.state_slots + plan.state_snapshots,
        state_dtype=planned.dtype,
        for_kernels=planned.execution.target is not None,
        static_scales=scales,
    )


def _proposer(
    planned: Planned, decoder: Decoder, draft: Decoder | None, graphs: GraphSizes | None
) -> tuple[Proposer | None, Sequence[Cache]]:
    """Return what drafts on the device, and the caches that it uses the engine's pages in."""
    pages, dtype, device = planned.plan.group_pages[0], planned.guessing_kv_dtype, planned.device
    if draft is not None:
        vocabulary = planned.main.spec.vocab_size
        smaller = draft_proposer(draft, pages, dtype, device, vocabulary, graphs)
        return smaller, smaller.caches
    if decoder.mtp is not None:
        heads = mtp_proposer(decoder, pages, dtype, device)
        return heads, heads.caches
    return None, ()


def _store(planned: Planned, caches: Sequence[Cache]) -> tuple[PageIo | None, HostStore | None]:
    config, plan = planned.config, planned.plan
    if isinstance(planned.main.source, SyntheticModel):
        config = replace(config, kv_disk=None)
    return make_store(
        config,
        [part.opened.checkpoint for part in planned.parts],
        [plan.kv_dtype, plan.dtype, str(planned.execution), str(planned.drafters.model)],
        caches,
        len(plan.group_pages),
        planned.device,
        cache_bytes=plan.kv_cache_bytes + plan.states_bytes,
        available_bytes=system_memory().available_bytes,
    )


def _doubts(
    planned: Planned, runner: Runner, tokenizer: Tokenizer | None
) -> Generator[LoadProgress, None, tuple[str, ...]]:
    """Return what seems wrong with the model, a sentence each."""
    if planned.execution.is_interpreted:  # which takes minutes for what a card does in milliseconds
        return ()
    yield LoadProgress("checking that the model makes sense")
    return self_test(
        runner,
        tokenizer,
        planned.main.spec.vocab_size,
        planned.plan.kv_cache_tokens,
        planned.config.step_tokens(planned.device.type),
    )


def _without_graphs(runner: Runner) -> tuple[str, ...]:
    note = None if runner.graphs is None else runner.graphs.note
    return () if note is None else (note,)


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer | None:
    """Load the tokenizer; a folder without any still runs on token ids."""
    known = ("tokenizer.json", "tekken.json", "tokenizer.model")
    if not any((checkpoint.folder / name).exists() for name in known):
        return None
    return Tokenizer.from_folder(checkpoint.folder)
