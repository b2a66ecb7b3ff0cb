"""What a case takes at least, and how near a run of it came, against a device that is perfect."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.device.products import Products
from localfp4.bench.device.roofline import Roofline, shares
from localfp4.bench.figures import figures
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Figures, Measured, Work
from localfp4.bench.workload import Case
from localfp4.models.flops import decode_flops, prefill_flops
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import prefill_bytes, sequence_bytes, visited_share
from localfp4.models.weight_sizes import WeightSizes
from tests.models.plan_models import GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B, QWEN3_8B, spec_of

GPU = Limits(1000.0, bfloat16_tflops=200.0, fp8_tflops=400.0)
STEP = 1024


def roofline(spec: DecoderSpec, decode: str = "bfloat16") -> Roofline:
    """Return a model of 100 MB a layer, of which experts are most where it has any."""
    layers = len(spec.layers)
    experts = 80_000_000 if visited_share(spec.layers[0], 1) else 0
    sizes = WeightSizes(
        rest=1_500_000_000,
        layers=(100_000_000 - experts,) * layers,
        experts=(experts,) * layers,
        looked_up=700_000_000,
    )
    return Roofline(spec, sizes, "bfloat16", STEP, Products("fp8", decode))


DENSE = roofline(spec_of(QWEN3_8B))
MODELS = [DENSE, *(roofline(spec_of(one)) for one in (GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B))]


def test_work_of_a_case_is_that_of_its_steps() -> None:
    work = DENSE.work(Case(batch=4, input_tokens=600, output_tokens=100, depth=64))
    token = 144 * 1024
    context = 64 + 600 + 50
    assert work.decode_shared_bytes == 800_000_000 + 36 * 100_000_000
    assert work.decode_bytes == work.decode_shared_bytes + 4 * context * token
    assert work.decode_flops == decode_flops(DENSE.spec, context, 4)
    assert work.prefill_flops == 4 * prefill_flops(DENSE.spec, 600, 64)
    steps = 3  # of 1024 tokens at most
    moved = steps * work.decode_shared_bytes + 4 * (600 + 64) * token
    assert work.prefill_bytes == moved
    assert (work.prefill_peak, work.decode_peak) == ("fp8", "bfloat16")


def times(**changes: float | None) -> Figures:
    """Return figures of which only some count: 16 prompts of 1000 in 2 s, 100 tokens each in 4."""
    made = figures(Measured({"0": [2.0]}, 16 * 1000))
    counted = {"decode_tokens_per_s": 16 * 100 / 4, "output_tokens_per_s": 16 * 101 / 6}
    return replace(made, seconds=6.0, **(counted | changes))  # type: ignore[arg-type]


CASE = Case(16, 1000, 101)
WORK = Work(
    prefill_bytes=400_000_000_000,
    prefill_flops=400_000_000_000_000,
    prefill_peak="fp8",
    decode_bytes=20_000_000_000,
    decode_flops=2_000_000_000_000,
    decode_peak="bfloat16",
    decode_shared_bytes=12_000_000_000,
)


def test_shares_by_hand() -> None:
    # A step takes 40 ms of which it needs 20, and the prompts 2 s of which products need 1.
    found = shares(WORK, CASE, times(), GPU)
    assert (found.decode_bound, found.prefill_bound) == ("memory", "compute")
    assert found.decode_percent == found.prefill_percent == pytest.approx(50)
    bound = replace(WORK, decode_flops=6_000_000_000_000, prefill_bytes=1_500_000_000_000)
    found = shares(bound, CASE, times(), GPU)
    assert (found.decode_bound, found.prefill_bound) == ("compute", "memory")
    assert found.decode_percent == found.prefill_percent == pytest.approx(75)


def test_steps_of_a_part_of_the_batch_need_less() -> None:
    # Half of the tokens came after the last prompt: 8 sequences a step, which need 12 + 4 GB.
    half = times(decode_tokens_per_s=8 * 100 / 4)
    assert shares(WORK, CASE, half, GPU).decode_percent == pytest.approx(40)


def test_answers_that_ended_early_may_have_shared_full_steps() -> None:
    early = times(decode_tokens_per_s=8 * 100 / 4, output_tokens_per_s=8 * 101 / 6)
    assert shares(WORK, CASE, early, GPU).decode_percent == pytest.approx(25)


def test_what_was_not_measured_has_no_share() -> None:
    undecoded = shares(WORK, CASE, times(decode_tokens_per_s=None), GPU)
    assert (undecoded.decode_percent, undecoded.decode_bound) == (None, None)
    assert undecoded.prefill_percent == pytest.approx(50)
    found = shares(replace(WORK, prefill_peak="fp4"), CASE, times(), GPU)
    assert (found.prefill_percent, found.prefill_bound) == (None, None)
    assert found.decode_percent == pytest.approx(50)


def test_what_fits_caches_is_bound_by_them() -> None:
    desktop = replace(GPU, cached_gb_per_s=10_000.0, cached_bytes=30_000_000_000)
    found = shares(WORK, CASE, times(), desktop)
    # 2 ms for the bytes, but 10 for the operations.
    assert found.decode_bound == "compute"
    assert found.decode_percent == pytest.approx(25)
    light = replace(WORK, decode_flops=200_000_000_000)
    found = shares(light, CASE, times(), desktop)
    assert found.decode_bound == "cache"
    assert found.decode_percent == pytest.approx(5)


@dataclass(frozen=True, slots=True)
class Perfect:
    """A device that reaches its limits in every step, and an engine that keeps it busy."""

    model: Roofline
    limits: Limits

    def run(self, case: Case) -> Figures:
        """Answer a case as schedulers do: decode first, then what fits of the prompts in turn."""
        arrivals: dict[str, list[float]] = {str(number): [] for number in range(case.batch)}
        computed, now = [0] * case.batch, 0.0
        while any(len(came) < case.output_tokens for came in arrivals.values()):
            decoding = [
                number
                for number, came in enumerate(arrivals.values())
                if 0 < len(came) < case.output_tokens
            ]
            chunks = dict(self._chunks(case, computed, STEP - len(decoding)))
            contexts = [
                case.depth + case.input_tokens + len(arrivals[str(number)]) for number in decoding
            ]
            starts = {number: (case.depth + computed[number], n) for number, n in chunks.items()}
            now += self._step_s(contexts, list(starts.values()))
            for number, tokens in chunks.items():
                computed[number] += tokens
            done = [number for number in chunks if computed[number] == case.input_tokens]
            for number in (*decoding, *done):
                arrivals[str(number)].append(now)
        return figures(Measured(arrivals, case.batch * case.input_tokens))

    def _chunks(self, case: Case, computed: list[int], room: int) -> Iterator[tuple[int, int]]:
        for number, already in enumerate(computed):
            tokens = min(room, case.input_tokens - already)
            room -= tokens
            if tokens:
                yield number, tokens

    def _step_s(self, contexts: list[int], chunks: list[tuple[int, int]]) -> float:
        model = self.model
        spec = model.spec
        tokens = len(contexts) + sum(count for _, count in chunks)
        visited = sum(
            stack * visited_share(layer, tokens)
            for layer, stack in zip(spec.layers, model.sizes.experts, strict=True)
        )
        kept = sum(sequence_bytes(spec, model.kv_dtype, context) for context in contexts)
        none = WeightSizes(0, (0,) * len(spec.layers), (0,) * len(spec.layers))
        kept += sum(
            prefill_bytes(spec, none, model.kv_dtype, count, 1, start, step_tokens=STEP)
            for start, count in chunks
        )
        flops = sum(decode_flops(spec, context) for context in contexts)
        flops += sum(prefill_flops(spec, count, start) for start, count in chunks)
        shared = model.sizes.rest - model.sizes.looked_up + sum(model.sizes.layers)
        products = model.products.prefill if chunks else model.products.decode
        least = self.limits.least_s(shared + visited + kept, flops, products)
        assert least is not None
        return least[0]


@pytest.mark.parametrize("limits", [GPU, replace(GPU, copy_gb_per_s=20_000.0)])
def test_a_perfect_device_reaches_all_of_its_limits_with_one_request(limits: Limits) -> None:
    case = Case(1, STEP, 31)
    found = shares(DENSE.work(case), case, Perfect(DENSE, limits).run(case), limits)
    assert found.decode_percent == pytest.approx(100, rel=1e-3)
    assert found.prefill_percent == pytest.approx(100, rel=1e-3)


def test_a_perfect_device_that_decodes_in_a_batch_is_near_its_limits() -> None:
    """TPOT is not: the first answers are made beside the other prompts."""
    case = Case(32, 1000, 128)
    reached = Perfect(DENSE, GPU).run(case)
    found = shares(DENSE.work(case), case, reached, GPU)
    assert found.decode_percent is not None
    assert 97 < found.decode_percent < 100
    assert found.prefill_percent == pytest.approx(100, abs=5)
    least = GPU.least_s(DENSE.work(case).decode_bytes, 0, "bfloat16")
    assert least is not None
    assert reached.tpot_ms is not None
    assert 100 * 1e3 * least[0] / reached.tpot_ms < 85


@given(
    st.sampled_from(MODELS),
    st.integers(1, 24),
    st.integers(1, 3000),
    st.integers(2, 40),
    st.sampled_from([0, 64, 8192]),
    st.sampled_from([0.1, 1.0, 20.0]),
)
@settings(max_examples=30, deadline=None)
def test_no_device_exceeds_its_limits(
    model: Roofline, batch: int, prompt: int, answer: int, depth: int, faster: float
) -> None:
    case = Case(batch, prompt, answer, depth)
    limits = replace(GPU, copy_gb_per_s=faster * GPU.copy_gb_per_s)
    found = shares(model.work(case), case, Perfect(model, limits).run(case), limits)
    for percent in (found.decode_percent, found.prefill_percent):
        assert percent is not None
        assert 0 < percent < 100.5
