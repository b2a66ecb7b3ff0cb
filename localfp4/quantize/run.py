"""From a model's name to a quantised checkpoint: the parts in their order."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import open_checkpoint
from localfp4.config import EngineConfig
from localfp4.engine.device import choose_device
from localfp4.engine.footprint import Footprint
from localfp4.errors import ContextError
from localfp4.models.here import machine_here
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.calibration.tokens import calibration_tokens
from localfp4.quantize.distilling.distil import distil
from localfp4.quantize.distilling.segments import require_trainable
from localfp4.quantize.events import Event, Note
from localfp4.quantize.export.card import CardFacts, model_card
from localfp4.quantize.export.checks import (
    require_absent,
    require_layout,
    require_sixteen_bits,
    require_space,
    require_weights,
)
from localfp4.quantize.export.figures import SiteFigure, figures_by_kind, meaning_of_errors
from localfp4.quantize.export.figures_of import site_figures
from localfp4.quantize.export.write import export
from localfp4.quantize.identity import digest
from localfp4.quantize.job import Job, Made
from localfp4.quantize.mix import Mix, decide_mix, require_size
from localfp4.quantize.planning.plan import QuantisePlan, quantise_plan
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.layers import quantise_layers
from localfp4.quantize.streaming.work import WorkFolder, partial_folder
from localfp4.telemetry.memory import reset_peak
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

_DISTILLED = "distilled"
_VERDICT = "verdict.txt"
"""What came of training, which is over once this is there."""


def quantise(job: Job) -> Iterator[Event | Made]:
    """Quantise a model, and tell meanwhile how far it is; what was made comes last.

    A run that was interrupted is gone on with: what is done lies beside ``job.out`` until the end.

    Raises:
        UserError: The model cannot be quantised so, or there is no room for it.
    """
    began = time.monotonic()
    opened = open_model(job.source)
    require_weights(opened, job.model)
    require_sixteen_bits(opened, job.model)
    require_layout(job.recipe)
    require_trainable(opened.spec, job.recipe, job.model)
    require_size(opened, job.recipe)
    require_absent(job.out)
    device = choose_device(EngineConfig(job.model, device=job.device, threads=job.threads))
    plan = _planned(opened, job)
    reset_peak(str(device))
    footprint = Footprint(device)
    tokens = _tokens(opened, job)
    notes: list[str] = []
    identity = digest(opened.checkpoint, job.recipe, tokens, device)
    with WorkFolder.open(job.out, identity) as work:
        for event in _rounded(opened, job, plan, tokens, device, work, identity):
            if isinstance(event, Note):
                notes.append(event.text)
            if isinstance(event, _Results):
                results = event.of_layer
            else:
                yield event
        figures = _figures(results, len(opened.spec.layers))
        card = model_card(_facts(job, plan, figures, notes))
        yield from export(opened, job.recipe, results, job.out, work.folder, card)
        if not work.discard():
            yield Note(
                f"{shown(work.folder)} cannot be deleted just now, and is not needed any more."
            )
    after = open_checkpoint(job.out).total_bytes
    yield Made(
        job.out,
        plan.size.total_before,
        after,
        time.monotonic() - began,
        plan.device_bytes,
        footprint.peak_nbytes,
        tuple(figures_by_kind(figures)),
        meaning_of_errors(job.recipe),
        tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Results:
    """Where the results of layers are, once all are there."""

    of_layer: Callable[[int], LayerResult]


def _planned(opened: OpenedModel, job: Job) -> QuantisePlan:
    """Refuse what does not fit, before anything is written."""
    _, machine = machine_here(job.device)
    plan = quantise_plan(opened, job.recipe, machine, limit_bytes=job.device_bytes)
    if not plan.fits:
        raise ContextError(plan.shortages[0])
    partial = partial_folder(job.out)
    done = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    require_space(job.out, max(plan.disk_bytes - done, 0))
    return plan


def _tokens(opened: OpenedModel, job: Job) -> torch.Tensor | None:
    if not job.recipe.needs_calibration:
        return None
    folder = opened.checkpoint.folder
    return calibration_tokens(
        job.recipe.calibration,
        Tokenizer.from_folder(folder),
        ChatTemplate.from_folder(folder),
        opened.spec.max_context,
    )


def _rounded(
    opened: OpenedModel,
    job: Job,
    plan: QuantisePlan,
    tokens: torch.Tensor | None,
    device: torch.device,
    work: WorkFolder,
    identity: str,
) -> Iterator[Event | _Results]:
    """Choose all codes, and say where they are."""
    recipe, dtype = job.recipe, torch.bfloat16 if device.type == "cuda" else torch.float32
    mix = Mix({})
    if recipe.target_bytes is not None and tokens is not None:
        for event in decide_mix(opened, recipe, tokens, device, dtype, work):
            if isinstance(event, Mix):
                mix = event
            else:
                yield event
    yield from quantise_layers(
        opened, recipe, tokens, work, device, mix.formats, plan.hessians.budget
    )
    if recipe.distil is None or tokens is None:
        yield _Results(work.load)
        return
    yield from _distilled(opened, job, tokens, device, dtype, work, identity)


def _distilled(
    opened: OpenedModel,
    job: Job,
    tokens: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
    work: WorkFolder,
    identity: str,
) -> Iterator[Event | _Results]:
    """Train what was rounded, and keep what came of it; layers that stay as they were are there."""
    with WorkFolder.open(work.folder / _DISTILLED, identity) as trained:
        verdict = trained.read_text(_VERDICT)
        if verdict is None:
            for event in distil(opened, job.recipe, tokens, work.load, device, dtype, work.folder):
                if isinstance(event, LayerResult):
                    trained.save(event)
                elif isinstance(event, Note):
                    verdict = event.text
                else:
                    yield event
            trained.write_text(_VERDICT, verdict or "")
        if verdict:
            yield Note(verdict)
        changed = trained.finished()
        yield _Results(lambda index: (trained if index in changed else work).load(index))


def _figures(results: Callable[[int], LayerResult], layers: int) -> tuple[SiteFigure, ...]:
    return tuple(one for index in range(layers + 1) for one in site_figures(results(index)))


def _facts(
    job: Job, plan: QuantisePlan, figures: tuple[SiteFigure, ...], notes: list[str]
) -> CardFacts:
    return CardFacts(
        original=job.model,
        folder=job.out.name,
        recipe=job.recipe,
        figures=figures,
        bytes_before=plan.size.total_before,
        bytes_after=plan.size.total,
        notes=tuple(notes),
    )
