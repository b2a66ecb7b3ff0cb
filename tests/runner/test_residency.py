"""Whole models of which parts lie in main memory, interpreted, against all of it in one place."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.models.decoder import Decoder
from localfp4.models.execution import TORCH, Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.host_linear import HostLinear
from localfp4.models.kv_groups import kv_groups
from localfp4.models.linear import DenseLinear
from localfp4.models.load import WHOLE, load_decoder, outline_decoder
from localfp4.models.packed import KernelExperts, KernelLinear
from localfp4.models.placement import Placement
from localfp4.models.residence import TieredExperts, tiered_experts
from localfp4.runner import residency
from localfp4.runner.expert_policy import SlotTable, Swap
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.lanes import DirectLane, Lane, Pending, make_lane
from localfp4.runner.rehearsal import a_step_of_each_kind, launches_of
from localfp4.runner.residency import Residency, make_residency
from localfp4.runner.runner import Runner
from localfp4.runner.work import Collect, Work
from localfp4_kernels.device import target_of
from localfp4_kernels.linear.weights import Fp4Weight
from localfp4_kernels.moe.stack import stack_shape, stack_tensors
from localfp4_kernels.moe.tiered import TieredStack
from localfp4_kernels.target import Target

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

CHECKPOINTS = Path(__file__).parents[1] / "fixtures/checkpoints"
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
DTYPE = torch.bfloat16 if torch.cuda.is_available() else torch.float32
EXECUTION = Execution(target_of(DEVICE))


def load(name: str, placement: Placement = WHOLE, execution: Execution = EXECUTION) -> Decoder:
    checkpoint = open_checkpoint(CHECKPOINTS / name)
    settings = dict(checkpoint.config)
    checkpoint = text_part(checkpoint, renames(settings)).checkpoint
    loading = load_decoder(
        checkpoint, decoder_spec(settings), DTYPE, DEVICE, execution, 0, placement
    )
    while True:
        try:
            next(loading)
        except StopIteration as finished:
            decoder: Decoder = finished.value
            return decoder


STEPS = [(0, 4), (4, 5), (5, 6), (6, 8), (8, 9), (9, 10)]
"""A prompt, some of which comes late, and tokens after it."""


def logits(
    decoder: Decoder, kept: Residency | None = None, steps: Sequence[tuple[int, int]] = STEPS
) -> torch.Tensor:
    """Run steps; experts change places between them."""
    groups = len(kv_groups(decoder.spec))
    dtype = str(DTYPE).removeprefix("torch.")
    caches = allocate_caches(decoder.spec, [2] * groups, dtype, DEVICE, for_kernels=True)
    runner = Runner(decoder, caches, DEVICE)
    tokens = [random.Random(3).randrange(decoder.spec.vocab_size) for _ in range(STEPS[-1][1])]
    found = []
    for start, end in steps:
        is_decode = end == start + 1
        work = Work(tokens, start, end, [[0]] * groups, is_decode, None, Collect.LOGITS)
        found += [one.logits for one in runner.run([work]) if one.logits is not None]
        if kept is not None:
            kept.after_step()
    return torch.cat(found)


class SlowLane(DirectLane):
    """Copies arrive some steps later, and until then what they overwrite is spoilt."""

    def __init__(self, delays: Sequence[int]) -> None:
        self.delays = list(delays)
        self.copied = 0

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Pending:
        for _, copy in pairs:
            copy.view(torch.uint8).fill_(0x7F)
        self.copied += len(pairs)
        return Slow(pairs, self.delays.pop() if self.delays else 0)


class Slow:
    def __init__(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], steps: int) -> None:
        self.pairs, self.steps = pairs, steps

    def is_done(self) -> bool:
        self.steps -= 1
        if self.steps >= 0:
            return False
        for source, copy in self.pairs:
            copy.copy_(source)
        return True


class Restless:
    """Exchanges whatever it can, at random."""

    def __init__(self, tables: Sequence[SlotTable], experts: Sequence[int]) -> None:
        self.tables, self.experts = tables, experts
        self.draws = random.Random(5)
        self.observed: list[list[int]] = []

    def observe(self, counts: list[list[int]]) -> None:
        self.observed = counts

    def swaps(self) -> list[Swap]:
        found = []
        for layer, table in enumerate(self.tables):
            slots = [slot for slot, one in enumerate(table.held) if one is not None]
            absent = [one for one in range(self.experts[layer]) if one not in table.held]
            count = min(len(slots) - 1, len(absent))  # so that one can be read at any time
            pairs = zip(self.draws.sample(slots, count), absent, strict=False)
            found += [Swap(layer, slot, expert) for slot, expert in pairs]
        return found


def two_tiers(decoder: Decoder) -> list[TieredStack]:
    networks: list[Any] = [layer.feed_forward for layer in decoder.layers]
    stacks = [stack for one in networks for stack in (one.experts.up, one.experts.down)]
    assert all(isinstance(stack, TieredStack) for stack in stacks)
    return stacks


@pytest.fixture(scope="module")
def whole() -> Callable[[str], torch.Tensor]:
    """Logits of models that lie in one place."""
    return cache(lambda name: logits(load(name)))


@pytest.mark.parametrize(
    ("name", "delays", "kind"),
    [
        ("ct_qwen3_moe_NVFP4", [0, 2, 1], Fp4Weight),
        # Experts that are expanded are staged for a single token, too.
        pytest.param("mo_gpt_oss_MXFP4", [1, 0, 2], torch.Tensor, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_logits_do_not_depend_on_where_experts_are(
    name: str,
    delays: list[int],
    kind: type,
    whole: Callable[[str], torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With copies that take a while, into slots that hold nonsense meanwhile."""
    monkeypatch.setattr(residency, "HotExperts", Restless)
    decoder = load(name, Placement(expert_slots=2))
    lane: Lane = make_lane(DEVICE) if DEVICE.type == "cuda" else SlowLane(delays)
    kept = Residency(tiered_experts(decoder), lane, interval=1)
    assert torch.equal(logits(decoder, kept), whole(name))
    if isinstance(lane, SlowLane):
        assert lane.copied > 0
    first = two_tiers(decoder)[0]
    assert isinstance(first.near, kind)
    assert first.reads is not None
    # An expert that is read certainly comes from the card where the map says so.
    first.where.fill_(-1)
    first.where[first.reads.argmax()] = 0
    for tensor in stack_tensors(first.near).values():
        tensor.zero_()
    assert not torch.equal(logits(decoder, steps=STEPS[:1]), whole(name)[:4])


def test_layers_in_main_memory_compute_the_same(whole: Callable[[str], torch.Tensor]) -> None:
    name = "ct_qwen3_moe_NVFP4"
    decoder = load(name, Placement(host_layers=1))
    mixer: Any = decoder.layers[-1].mixer
    assert isinstance(mixer.qkv, KernelLinear)
    assert mixer.qkv.in_main_memory
    assert [stack_shape(stack.near)[0] for stack in two_tiers(decoder)] == [0, 0]
    assert torch.equal(logits(decoder, steps=STEPS[:2]), whole(name)[:5])
    assert make_residency(decoder, DEVICE) is None  # there are no slots to give away


def test_what_torch_multiplies_can_lie_in_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localfp4.models.stored.make_linear", DenseLinear)  # as on a GPU
    decoder, whole = load("m_qwen3", Placement(host_layers=99)), load("m_qwen3")
    for one, kind in ((decoder, HostLinear), (whole, DenseLinear)):
        mixers: list[Any] = [layer.mixer for layer in one.layers]
        assert all(isinstance(mixer.out, kind) for mixer in mixers)
    assert torch.equal(*(logits(one, steps=STEPS[:2]) for one in (decoder, whole)))
    assert decoder.nbytes < whole.nbytes or DEVICE.type == "cpu"


def test_plain_torch_has_everything_in_one_place() -> None:
    decoder = load("m_qwen3_moe", Placement(expert_slots=1, host_layers=1), TORCH)
    assert make_residency(decoder, torch.device("cpu")) is None


def test_as_many_slots_as_experts_change_nothing() -> None:
    decoder = load("m_qwen3_moe", Placement(expert_slots=4))
    network: Any = decoder.layers[0].feed_forward
    assert isinstance(network.experts, KernelExperts)
    assert not isinstance(network.experts.up, TieredStack)


def test_the_outline_launches_what_the_model_will() -> None:
    checkpoint = open_checkpoint(CHECKPOINTS / "ct_qwen3_moe_NVFP4")
    spec = decoder_spec(dict(checkpoint.config))
    execution = Execution(Target(89, 100))
    names = []
    for placement in (WHOLE, Placement(expert_slots=2)):
        outline = outline_decoder(checkpoint, spec, torch.bfloat16, execution, placement)
        launches = launches_of(outline, "fp8", a_step_of_each_kind())
        names.append({launch.kernel.fn.__name__ for launch in launches})
        tiered = [launch for launch in launches if launch.arguments.get("where_ptr") is not None]
        assert bool(tiered) == (not placement.is_whole)
    assert names[1] - names[0] == {"_stage_kernel"}


def layer_of(experts: int, slots: int) -> TieredExperts:
    """Experts that are numbers."""
    far = torch.arange(experts, dtype=torch.int32).unsqueeze(1)
    where = torch.arange(experts, dtype=torch.int32)
    where[slots:] = -1
    return TieredExperts(where, torch.zeros_like(where), ((far, far[:slots].clone()),))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_the_map_names_is_always_there(data: st.DataObject) -> None:
    """Whatever is read, however long copies take: in its slot each mapped expert's own bytes."""
    sizes = data.draw(
        st.lists(st.tuples(st.integers(2, 9), st.integers(1, 9)), min_size=1, max_size=3)
    )
    layers = [layer_of(experts, min(slots, experts)) for experts, slots in sizes]
    delays = data.draw(st.lists(st.integers(0, 3), max_size=20))
    kept = Residency(layers, SlowLane(delays), interval=data.draw(st.integers(1, 3)))
    for _ in range(20):
        for layer in layers:
            popular = data.draw(st.integers(0, len(layer.where) - 1))
            layer.reads[popular] += data.draw(st.integers(0, 40))
        kept.after_step()
        for layer in layers:
            ((_, near),) = layer.parts
            mapped = [(e, slot) for e, slot in enumerate(layer.where.tolist()) if slot >= 0]
            assert len({slot for _, slot in mapped}) == len(mapped)
            assert all(int(near[slot]) == expert for expert, slot in mapped)


def test_popular_experts_come_to_the_card() -> None:
    layer = layer_of(experts=8, slots=2)
    kept = Residency([layer], DirectLane(), interval=2)
    for _ in range(8):
        layer.reads[torch.tensor([5, 7])] += 3
        kept.after_step()
    assert sorted(layer.where[[5, 7]].tolist()) == [0, 1]
    assert int((layer.where >= 0).sum()) == 2


def test_a_step_waits_for_nothing() -> None:
    """A copy that never ends costs its slot and nothing else."""
    layer = layer_of(experts=4, slots=2)
    kept = Residency([layer], SlowLane([10**9]), interval=1)
    for _ in range(30):
        layer.reads[3] += 9
        kept.after_step()
    assert int((layer.where >= 0).sum()) == 1
    assert int(layer.where[3]) == -1
