"""Proposers on kernels: they launch without asking the device anything, and guess as torch does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.index import Checkpoint, open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.kernels import choose_execution
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import load_decoder, outline_decoder
from localfp4.models.spec import DecoderSpec
from localfp4.runner.drawn import DrawnStep, Proposer, write_drafts
from localfp4.runner.graphs import DecodeGraphs, GraphSizes, Recorder
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.numbers import Numbers
from localfp4.runner.prepare import Scratch, write_batch
from localfp4.runner.propose_draft import draft_proposer
from localfp4.runner.propose_mtp import mtp_proposer
from localfp4.runner.rehearsal import rehearse
from localfp4.runner.rows import drawn_rows, first_rows
from localfp4.runner.work import Draw, Work
from localfp4_kernels.launch import recorded
from tests.models import tiny
from tests.runner.drafting import CPU, result_of, save_with_head
from tests.runner.tape import Tape

PAGES = 6
GREEDY = SamplingParams(temperature=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_head(tmp_path_factory.mktemp("head"), vocab=128)


def opened(folder: Path) -> tuple[Checkpoint, DecoderSpec]:
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    return text_part(checkpoint, renames(settings)).checkpoint, decoder_spec(settings)


def kernel_execution() -> Execution:
    return choose_execution(EngineConfig("", kernels="triton"), CPU)


def prompt(tokens: list[int], start: int, end: int, page: int) -> Work:
    draw = Draw(GREEDY, tokens, 5, 0) if end == len(tokens) else None
    pages = [[page, page + 1]]
    return Work(tokens, start, end, pages, False, draw, slot=page // 2, propose=3)


def newest(tokens: list[int], page: int, drafts: tuple[int, ...] = ()) -> Work:
    """A decoding sequence."""
    end, draw = len(tokens), Draw(GREEDY, tokens, 5, 0)
    pages = [[page, page + 1]]
    slot = page // 2
    return Work(tokens, end - 1, end, pages, True, draw, slot=slot, drafts=drafts, propose=3)


def steps() -> list[list[Work]]:
    """Prompts, then sequences that decode, with and without drafts, beside chunks of a prompt."""
    first, second = tiny.token_ids(20, seed=1), tiny.token_ids(8, seed=2)
    return [
        [prompt(first, 0, 20, 0)],
        [newest([*first, 5], 0, drafts=(5, 6)), prompt(second, 0, 5, 2)],
        [newest([*first, 5, 5, 20], 0, drafts=(5,)), newest(second, 2)],
    ]


def drawn(
    work: list[Work], decoder: Decoder, caches: Sequence[Cache], device: torch.device
) -> DrawnStep:
    """Run a step as the runner does, with arbitrary tokens drawn: the first draft is right."""
    numbers, firsts = Numbers(), first_rows(work)
    batch = write_batch(numbers, work, Scratch.of(caches, 1))
    rows = drawn_rows(work, firsts)
    drafts = write_drafts(numbers, work, rows)
    buffer = numbers.on_device(device)
    step = batch.batch(buffer)
    hidden = decoder.forward(step, caches)
    tokens = torch.tensor([5, *range(20, 19 + len(rows))], device=device)
    return drafts.drawn(work, step, hidden, tokens, buffer)


@torch.inference_mode()
def proposed(
    kind: str, decoder: Decoder, device: torch.device, record: Recorder | None = None
) -> list[torch.Tensor]:
    """Return what is guessed after each step; a draft model is the model's own attention layer."""
    for_kernels = decoder.execution.target is not None
    caches = allocate_caches(
        decoder.spec, [PAGES], "float32", device, slots=3, for_kernels=for_kernels
    )
    proposer: Proposer = mtp_proposer(decoder, PAGES, "float32", device)
    if kind == "draft":
        spec = replace(decoder.spec, layers=decoder.spec.layers[1:])
        small = replace(decoder, spec=spec, layers=decoder.layers[1:], mtp=None)
        draft = draft_proposer(small, PAGES, "float32", device, spec.vocab_size)
        if record is not None:
            sizes, scratch = GraphSizes(rows=8, context=128), Scratch((PAGES,), None)
            graphs = DecodeGraphs(small, draft.caches, scratch, device, sizes, record)
            draft = replace(draft, graphs=graphs)
        proposer = draft
    return [proposer.propose(drawn(work, decoder, caches, device)) for work in steps()]


@pytest.mark.parametrize("kind", ["mtp", "draft"])
def test_nothing_waits_for_the_device(folder: Path, kind: str) -> None:
    """Tensors of the ``meta`` device have no values to wait for."""
    outline = outline_decoder(*opened(folder), torch.float32, kernel_execution())
    with recorded() as launches:
        shapes = [tuple(one.shape) for one in proposed(kind, outline, torch.device("meta"))]
    assert shapes == [(1, 3), (1, 3), (2, 3)]
    assert len(launches) > 50
    if kind == "mtp":
        rehearsed = rehearse(outline, "float32", max_batch=8, max_step_tokens=24)
        found = {launch.specialisation for launch in rehearsed}
        assert {launch.specialisation for launch in launches} <= found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mtp", "draft"])
def test_guesses_are_those_of_plain_torch(folder: Path, kind: str) -> None:
    checkpoint, spec = opened(folder)
    plain = result_of(load_decoder(checkpoint, spec, torch.float32, CPU))
    kernels = result_of(load_decoder(checkpoint, spec, torch.float32, CPU, kernel_execution()))
    expected = proposed(kind, plain, CPU)
    tape = Tape()
    got = proposed(kind, kernels, CPU, tape)
    assert bool(tape.operations) == (kind == "draft"), "only a draft model's steps are recorded"
    assert len(torch.cat(expected).unique()) > 1
    for one, other in zip(expected, got, strict=True):
        assert torch.equal(one, other)
