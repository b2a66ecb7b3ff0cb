"""GPTQ against its definition in float64, and against rounding to nearest."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.quantize.recipe import Rounding, ScaleRule, WeightFormat
from localfp4.quantize.rounding import gptq as gptq_module
from localfp4.quantize.rounding.codes import Codes, Fp8Codes
from localfp4.quantize.rounding.errors import output_error
from localfp4.quantize.rounding.gptq import SolveError, gptq
from localfp4.quantize.rounding.grid import grid
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.statistics import InputStatistics
from tests.quantize.solving.correlated import Case, case, statistics_of

FORMATS: tuple[WeightFormat, ...] = ("nvfp4", "mxfp4", "fp8")
MULTIPLIES = Rounding(divides=False)
"""Units are then the same product in all ways to round, so that ties fall alike."""


@pytest.fixture(scope="module")
def made() -> Case:
    return case()


def bits(codes: Codes) -> list[torch.Tensor]:
    values = codes.data if isinstance(codes, Fp8Codes) else codes.packed
    return [values.view(torch.uint8), codes.scale.contiguous().view(torch.uint8)]


def assert_same(codes: Codes, expected: Codes) -> None:
    for one, other in zip(bits(codes), bits(expected), strict=True):
        assert torch.equal(one, other)


def uniform(columns: int, weight: float = 1.0) -> InputStatistics:
    """Statistics of inputs that have nothing to do with each other."""
    return statistics_of(torch.eye(columns) * weight**0.5)


@pytest.mark.parametrize("scales", ["absmax", "four-over-six", "sweep"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_independent_inputs_leave_rounding_to_nearest(
    made: Case, format: WeightFormat, scales: ScaleRule, dtype: torch.dtype
) -> None:
    weight = made.weight[:32].to(dtype)
    rounding = replace(MULTIPLIES, scales=scales)
    expected = round_to_nearest(weight, format, rounding)
    assert_same(gptq(weight, uniform(512, 7.0), format, rounding), expected)


@pytest.mark.parametrize("format", FORMATS)
def test_inputs_of_zero_leave_rounding_to_nearest(made: Case, format: WeightFormat) -> None:
    weight = made.weight[:64]
    found = gptq(weight, uniform(512, 0.0), format, MULTIPLIES)
    assert_same(found, round_to_nearest(weight, format, MULTIPLIES))


def textbook(
    weight: torch.Tensor, hessian: torch.Tensor, codes: Codes, format: WeightFormat, damping: float
) -> torch.Tensor:
    """Algorithm 1 of arXiv:2210.17323 in float64, columns by descending diagonal, blocks of one.

    Args:
        weight: ``[N, K]``.
        hessian: ``[K, K]``.
        codes: Whose scales are taken.
        format: What is rounded to.
        damping: Share of the mean diagonal.

    Returns:
        The rounded weights, ``[N, K]``.
    """
    numbers, hessian = grid(format), hessian.double().clone()
    whole = getattr(codes, "global_scale", None)
    hessian.diagonal().add_(damping * hessian.diagonal().mean())
    order = hessian.diagonal().argsort(descending=True)
    inverse = torch.linalg.inv(hessian[order][:, order])
    upper = torch.linalg.cholesky(inverse, upper=True)
    left, out = weight.double()[:, order], torch.empty_like(weight)
    group = weight.shape[1] // codes.scale.shape[1]
    for place, column in enumerate(order.tolist()):
        scale = codes.scale[:, column // group, None]
        code = numbers.encode(left[:, place, None].float(), scale, whole)
        value = numbers.decode(code, scale, whole).double()
        error = (left[:, place, None] - value) / upper[place, place]
        left[:, place:] -= error * upper[place, None, place:]
        out[:, column] = value[:, 0].float()
    return out


@pytest.mark.parametrize("format", FORMATS)
def test_codes_are_those_of_the_textbook(made: Case, format: WeightFormat) -> None:
    statistics = statistics_of(made.seen)
    assert statistics.hessian is not None
    codes = gptq(made.weight, statistics, format, MULTIPLIES)
    expected = textbook(made.weight, statistics.hessian, codes, format, MULTIPLIES.damping)
    same = (codes.dequantised() == expected).float().mean()
    assert same > 0.99  # a near tie in float32 moves the rest of its row a little
    # The oracle notices whether errors are fed back at all.
    nearest = round_to_nearest(made.weight, format, MULTIPLIES)
    assert (nearest.dequantised() == expected).float().mean() < 0.9


def test_scales_of_absmax_are_those_of_exporters(made: Case) -> None:
    weight, rounding = made.weight.bfloat16(), Rounding("gptq", "absmax")
    codes = gptq(weight, statistics_of(made.seen), "nvfp4", rounding, amax=0.5)
    expected = round_to_nearest(weight, "nvfp4", rounding, amax=0.5)
    assert torch.equal(bits(codes)[1], bits(expected)[1])
    assert not torch.equal(bits(codes)[0], bits(expected)[0])


def test_rows_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made, rounding = case(0, 48, 160), Rounding(replay=True)
    statistics, amax = statistics_of(made.seen), float(made.weight.abs().max())
    whole = gptq(made.weight, statistics, "nvfp4", rounding)
    alone = gptq(made.weight[30:], statistics, "nvfp4", rounding, amax=amax)
    monkeypatch.setattr(gptq_module, "GPTQ_WEIGHTS", 20 * 160)
    pieces = gptq(made.weight, statistics, "nvfp4", rounding)
    # Products of other shapes add up in another order: near ties may fall otherwise.
    assert (whole.dequantised() == pieces.dequantised()).float().mean() > 0.99
    assert (whole.dequantised()[30:] == alone.dequantised()).float().mean() > 0.99


def test_statistics_are_left_as_they_are(made: Case) -> None:
    statistics = statistics_of(made.seen)
    assert statistics.hessian is not None
    before = statistics.hessian.clone()
    first = gptq(made.weight, statistics, "mxfp4", Rounding(replay=True))
    assert torch.equal(statistics.hessian, before)
    assert_same(gptq(made.weight, statistics, "mxfp4", Rounding(replay=True)), first)


@pytest.mark.parametrize("format", FORMATS)
def test_columns_without_inputs_are_rounded_to_nearest(made: Case, format: WeightFormat) -> None:
    silent = torch.arange(512) % 32 < 16
    seen = made.seen.masked_fill(silent, 0)
    codes = gptq(made.weight, statistics_of(seen), format, MULTIPLIES)
    if format == "nvfp4":  # whose groups are then silent or not
        expected = round_to_nearest(made.weight, format, MULTIPLIES).dequantised()
        assert torch.equal(codes.dequantised()[:, silent], expected[:, silent])
    error = (codes.dequantised() - made.weight)[:, silent]
    assert error.square().sum() < 0.06 * made.weight[:, silent].square().sum()


@pytest.mark.parametrize("damping", [0.0, 0.01])
@pytest.mark.parametrize("replay", [False, True])
def test_fewer_inputs_than_columns(made: Case, damping: float, replay: bool) -> None:
    few = statistics_of(made.seen[:100])
    assert few.hessian is not None
    codes = gptq(made.weight, few, "nvfp4", Rounding(damping=damping, replay=replay))
    nearest = round_to_nearest(made.weight, "nvfp4", Rounding())
    assert output_error(made.weight, codes, few.hessian) < 0.2 * output_error(
        made.weight, nearest, few.hessian
    )


@pytest.mark.parametrize("replay", [False, True])
def test_a_matrix_of_zeros(replay: bool) -> None:
    codes = gptq(torch.zeros(4, 64), uniform(64), "nvfp4", Rounding(replay=replay))
    assert codes.dequantised().abs().max() == 0


def test_inputs_that_are_not_finite_raise(made: Case) -> None:
    statistics = statistics_of(made.seen)
    assert statistics.hessian is not None
    statistics.hessian[3] = torch.nan
    with pytest.raises(SolveError, match=r"^inputs that are not finite .* nan; try .* rtn\.$"):
        gptq(made.weight, statistics, "nvfp4", Rounding())


def test_what_is_no_hessian_raises(made: Case) -> None:
    statistics = statistics_of(made.seen)
    assert statistics.hessian is not None
    statistics.hessian += 100 * statistics.hessian.diagonal().mean() * (1 - torch.eye(512))
    with pytest.raises(
        SolveError, match=r"^a Hessian of 512 columns cannot .* with 100% of its mean"
    ):
        gptq(made.weight, statistics, "nvfp4", Rounding())


@pytest.mark.parametrize(
    ("weight", "statistics", "message"),
    [
        (torch.zeros(4, 40), uniform(40), "multiples of 16, not 40"),
        (torch.full((4, 32), torch.nan), uniform(32), "not finite"),
        (torch.zeros(4, 32), replace(uniform(32), hessian=None), "needs a Hessian"),
    ],
)
def test_what_cannot_be_solved(
    weight: torch.Tensor, statistics: InputStatistics, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gptq(weight, statistics, "nvfp4", Rounding())


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    format=st.sampled_from(["nvfp4", "mxfp4"]),
    scales=st.sampled_from(["absmax", "four-over-six", "sweep"]),
    columns=st.sampled_from([32, 96, 160, 256]),
    rows=st.integers(1, 24),
)
def test_replay_never_loses(
    seed: int, format: WeightFormat, scales: ScaleRule, columns: int, rows: int
) -> None:
    made = case(seed, rows, columns)
    statistics = statistics_of(made.seen[: 2 * columns])
    assert statistics.hessian is not None
    damped = statistics.hessian.clone()
    damped.diagonal().add_(0.01 * damped.diagonal().mean())
    plain, replayed = (
        gptq(made.weight, statistics, format, Rounding("gptq", scales, replay=replay))
        for replay in (False, True)
    )
    after = output_error(made.weight, replayed, damped)
    assert after <= output_error(made.weight, plain, damped) * (1 + 1e-5)
