"""Recorded decode steps against steps launched one kernel at a time (interpreted without a GPU)."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import pytest
import torch

from localfp4.config import SamplingParams
from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.models.kv_groups import kv_groups
from localfp4.runner.graphs import CudaRecorder, DecodeGraphs, GraphSizes, Recorder
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import Scratch
from localfp4.runner.runner import Runner, StepResult
from localfp4.runner.work import Draw, Work
from tests.models import tiny
from tests.models.test_kernel_families import DEVICE, DTYPE, load
from tests.runner.tape import HostInTheWayError, Tape

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:overflow encountered in exp"),
    *([pytest.mark.gpu] if torch.cuda.is_available() else []),
]

CLOSE = 0.2 if torch.cuda.is_available() else 2e-3
"""Largest difference of log-probabilities: padding changes which kernel multiplies."""

PAGES = 8
GREEDY = SamplingParams(temperature=0, logprobs=4)
SLOW = ("gemma4-small", "gpt_oss", "qwen3_next", "lfm2", "nemotron_h", "deepseek_v3")
FAMILIES = ["qwen3", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def recorder() -> Recorder:
    return CudaRecorder(DEVICE) if DEVICE.type == "cuda" else Tape()


class Text:
    """A sequence, of which all but the last token is taken to be cached."""

    def __init__(self, decoder: Decoder, length: int, place: int) -> None:
        self.tokens = tiny.token_ids(length, seed=place)
        self.place = place
        self.groups = len(kv_groups(decoder.spec))
        self.slot = place if decoder.spec.is_recurrent else None

    def work(self, drafts: Sequence[int]) -> Work:
        """Return the step that processes its newest token and some guesses."""
        end = len(self.tokens)
        pages = [[2 * self.place, 2 * self.place + 1]] * self.groups
        draw = Draw(GREEDY, self.tokens, 1, seed=self.place)
        return Work(
            self.tokens,
            end - 1,
            end,
            pages,
            is_decode=True,
            draw=draw,
            slot=self.slot,
            drafts=tuple(drafts),
        )


@pytest.fixture(scope="module", params=FAMILIES)
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder = tmp_path_factory.mktemp("models") / "model"
    if request.param == "qwen3":  # one layer says it all, and the interpreter is slow
        settings = tiny.complete(tiny.CONFIGS["qwen3"] | {"num_hidden_layers": 1})
        model = tiny.build_from(settings)
        tiny.randomise(model)
    else:
        model = tiny.build(request.param)
    return load(tiny.save(model, folder))


def caches_of(decoder: Decoder) -> tuple[Cache, ...]:
    """Return caches with something in them, the same for every runner."""
    pages = [PAGES] * len(kv_groups(decoder.spec))
    caches = allocate_caches(decoder.spec, pages, DTYPE, DEVICE, slots=4, for_kernels=True)
    generator = torch.Generator().manual_seed(0)
    for cache in caches:
        tensors = () if cache is None else (getattr(cache, name.name) for name in fields(cache))
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return caches


def make(decoder: Decoder, *, recorded: bool) -> Runner:
    runner = Runner(decoder, caches_of(decoder), DEVICE)
    if recorded:
        scratch = Scratch.of(runner.caches, len(kv_groups(decoder.spec)))
        sizes = GraphSizes(rows=8, context=128)
        runner.graphs = DecodeGraphs(decoder, runner.caches, scratch, DEVICE, sizes, recorder())
    return runner


def steps(decoder: Decoder, runner: Runner) -> Iterator[list[StepResult]]:
    """Run steps of two sizes, whose lengths, pages, order and tokens all differ."""
    one, other = Text(decoder, 63, 0), Text(decoder, 5, 1)
    for step in range(4):
        order = [one, other] if step % 2 else [other, one]
        drafts = (3 + step,) if step > 1 else ()
        results = runner.run([text.work(drafts if text is one else ()) for text in order])
        for text, result in zip(order, results, strict=True):
            # Not what was drawn: random models soon repeat themselves.
            text.tokens.append((result.sampled[0].token_id + 17 * step) % tiny.VOCAB)
        yield results


def assert_close(got: StepResult, wanted: StepResult) -> None:
    for ours, theirs in zip(got.sampled, wanted.sampled, strict=True):
        assert ours.token_id == theirs.token_id
        assert ours.logprob is not None
        assert theirs.logprob is not None
        ours_top, theirs_top = (dict(one.logprob.top) for one in (ours, theirs) if one.logprob)
        for token in ours_top.keys() & theirs_top.keys():
            assert ours_top[token] == pytest.approx(theirs_top[token], abs=CLOSE)


def test_numbers_that_python_reads_are_noticed() -> None:
    """The negative control of the recorder for CPUs."""
    number, total = torch.tensor([2]), torch.zeros(1)

    def waits() -> None:
        total.add_(number.item())

    def copies_a_list() -> None:
        total.copy_(torch.tensor([1.0]))

    for run in (waits, copies_a_list):
        with pytest.raises(HostInTheWayError):
            Tape()(run)

    def only_tensors() -> None:
        total.copy_(number * 3)

    repeat = Tape()(only_tensors)
    number += 5
    repeat()
    assert total.item() == 21


def test_what_is_repeated_is_what_would_be_launched(decoder: Decoder) -> None:
    recorded = make(decoder, recorded=True)
    launched = make(decoder, recorded=False)
    pairs = zip(steps(decoder, recorded), steps(decoder, launched), strict=True)
    for ours, theirs in pairs:
        for got, wanted in zip(ours, theirs, strict=True):
            assert_close(got, wanted)
    assert recorded.graphs is not None
    assert recorded.graphs.note is None
    assert len(recorded.graphs._steps) == 2, "of each of which the second is a repetition"
