"""Sweep and four-over-six: against every scale there is, tried one by one in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.quantize.recipe import Rounding, ScaleRule, WeightFormat
from localfp4.quantize.rounding import pieces
from localfp4.quantize.rounding.codes import Codes, Mxfp4Codes, Nvfp4Codes
from localfp4.quantize.rounding.grid import grid
from localfp4.quantize.rounding.nearest import round_to_nearest
from tests.models.live_bytes import LiveBytes

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
SIZES = {"nvfp4": 16, "mxfp4": 32}


def weights(kind: str, seed: int, rows: int = 16, columns: int = 128) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random)
    if kind == "heavy":  # products of normal numbers have long tails
        weight *= torch.randn(rows, columns, generator=random)
    return weight * 0.02


def importances(spread: float, seed: int, columns: int = 128) -> torch.Tensor:
    return (spread * torch.randn(columns, generator=torch.Generator().manual_seed(seed))).exp()


def rounded(
    weight: torch.Tensor, format: WeightFormat, rule: ScaleRule, importance: torch.Tensor | None
) -> Codes:
    return round_to_nearest(weight, format, Rounding("rtn", rule), importance=importance)


def group_errors(
    weight: torch.Tensor, codes: Codes, importance: torch.Tensor | None, size: int
) -> torch.Tensor:
    """Weighted squared error of each group, float64."""
    error = (codes.dequantised().double() - weight.double()).square()
    if importance is not None:
        error *= importance.double()
    total: torch.Tensor = error.unflatten(1, (-1, size)).sum(-1)
    return total


def least_errors(
    weight: torch.Tensor, codes: Codes, importance: torch.Tensor | None, size: int
) -> torch.Tensor:
    """What the best of all scales of the format leaves of each group, float64."""
    if isinstance(codes, Nvfp4Codes):
        every = torch.arange(1, 127, dtype=torch.uint8).view(torch.float8_e4m3fn).double()
        units = every * codes.global_scale.factor.double()
    else:
        units = 2.0 ** torch.arange(-30, 5, dtype=torch.float64)
    groups = weight.double().unflatten(1, (-1, size))
    shares = torch.ones(weight.shape[1]) if importance is None else importance
    shares = shares.double().unflatten(0, (-1, size))
    errors = []
    for unit in units:
        nearest = (groups.abs().unsqueeze(-1) / unit - E2M1).abs().argmin(-1)
        errors.append(((groups.abs() - E2M1[nearest] * unit).square() * shares).sum(-1))
    return torch.stack(errors).amin(0)


@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize(
    ("format", "spread", "excess"),
    [
        ("nvfp4", None, 1e-3),
        ("nvfp4", 1.0, 1e-3),
        ("nvfp4", 2.0, 1e-2),
        ("mxfp4", None, 1e-5),
        ("mxfp4", 1.0, 1e-3),
        ("mxfp4", 3.0, 5e-3),
    ],
)
def test_a_sweep_finds_nearly_the_best_of_all_scales(
    format: WeightFormat, spread: float | None, excess: float, kind: str
) -> None:
    weight = weights(kind, 1)
    importance = None if spread is None else importances(spread, 2)
    codes = rounded(weight, format, "sweep", importance)
    found = group_errors(weight, codes, importance, SIZES[format])
    best = least_errors(weight, codes, importance, SIZES[format])
    assert (found >= best * (1 - 1e-5)).all(), "nothing is better than the best"
    assert found.sum() <= best.sum() * (1 + excess)
    absmax = rounded(weight, format, "absmax", importance)
    assert group_errors(weight, absmax, importance, SIZES[format]).sum() > 1.01 * best.sum()


@settings(max_examples=25)
@given(
    st.sampled_from(["normal", "heavy"]),
    st.one_of(st.none(), st.floats(0, 3)),
    st.floats(-30, 30),
    st.integers(0, 2**31),
)
def test_each_rule_leaves_no_group_worse_than_the_rule_before(
    kind: str, spread: float | None, exponent: float, seed: int
) -> None:
    """Under one global scale, four-over-six chooses from more than absmax, a sweep from more yet."""
    weight = weights(kind, seed, 4) * 10.0**exponent
    importance = None if spread is None else importances(spread, seed)
    numbers = grid("nvfp4")
    rounding = Rounding("rtn", "sweep")
    whole = numbers.global_scale(float(weight.abs().max()), rounding, weight.dtype, weight.device)
    errors = []
    for rule in ("absmax", "four-over-six", "sweep"):
        scale = numbers.choose_scales(weight, whole, rule, importance)
        codes = numbers.pack(numbers.encode(weight, scale, whole), scale, whole)
        errors.append(group_errors(weight, codes, importance, 16))
    slack = 1e-5 * errors[0].clamp(min=errors[0].max() * 1e-9)
    assert (errors[1] <= errors[0] + slack).all()
    assert (errors[2] <= errors[1] + slack).all()


def test_four_over_six_makes_the_largest_weight_four_where_that_is_better() -> None:
    """The example of arXiv:2512.02010: a scale of 6 has nothing between 4 and 6."""
    groups = torch.tensor([[6.0, 5.0] + [0.0] * 14, [6.0, 4.0] + [0.0] * 14, [1536.0] + [0] * 15])
    weight = groups.view(1, 48)
    codes = rounded(weight, "nvfp4", "four-over-six", None)
    assert isinstance(codes, Nvfp4Codes)
    assert codes.global_scale.stored == 1
    # 4 and 6 are codes under scale 1; under 1.5, 6 is code 4 and 4.5 is nearer to 5 than 4 or 6.
    assert codes.scale.float().tolist() == [[1.5, 1.0, 256.0]]
    assert codes.dequantised()[0, :2].tolist() == [6.0, 4.5]
    assert codes.dequantised()[0, 16:18].tolist() == [6.0, 4.0]


def test_importance_decides_which_weights_are_near() -> None:
    weight = torch.full((1, 32), 0.7)
    weight[0, 0] = 6.0
    weight[0, 16] = 1536.0
    columns = torch.ones(32)
    columns[0] = 1e-6
    plain = rounded(weight, "nvfp4", "sweep", None).dequantised()[0]
    weighted = rounded(weight, "nvfp4", "sweep", columns).dequantised()[0]
    assert abs(plain[0] - 6) < 0.3
    assert (weighted[1:16] - 0.7).abs().max() < 0.01 < (plain[1:16] - 0.7).abs().max()
    nothing = rounded(weight, "nvfp4", "sweep", torch.zeros(32)).dequantised()[0]
    assert nothing[0] == 6, "where nothing counts, the largest weight becomes 6"


@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("rule", ["absmax", "four-over-six", "sweep"])
def test_scales_are_positive_and_finite_however_small_a_group_is(
    rule: ScaleRule, divides: bool
) -> None:
    weight = weights("heavy", 13, 40) * torch.logspace(-9, 0, 40).unsqueeze(1)
    weight[3] = 0
    rounding = Rounding("rtn", rule, divides=divides)
    codes = round_to_nearest(weight, "nvfp4", rounding, importance=importances(3.0, 14))
    assert isinstance(codes, Nvfp4Codes)
    bits = codes.scale.view(torch.uint8)
    assert ((bits >= 0x01) & (bits <= 0x7E)).all()
    # Feedback moves weights beyond the magnitude that the global scale was made for.
    over = round_to_nearest(weight, "nvfp4", rounding, amax=1e-3)
    assert isinstance(over, Nvfp4Codes)
    assert over.scale.float().amax() == 448
    assert (over.scale.float() > 0).all()
    # What is too small gets the least scale, only compressed-tensors' own rule a larger one.
    own = rule == "absmax" and divides
    assert bits[0].unique().tolist() == [0x20 if own else 0x01]
    assert bits[3].unique().tolist() == [0x20 if own else 0x38]


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_zeros_stay_zeros(format: WeightFormat) -> None:
    weight = weights("normal", 15)
    weight[1] = 0
    weight[2, 32:64] = 0
    read = rounded(weight, format, "sweep", None).dequantised()
    assert torch.equal(read[weight == 0], weight[weight == 0])
    assert not rounded(torch.zeros(2, 64), format, "sweep", None).dequantised().any()


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
@pytest.mark.parametrize("rule", ["absmax", "four-over-six", "sweep"])
def test_pieces_of_a_matrix_are_rounded_like_the_whole(
    monkeypatch: pytest.MonkeyPatch, format: WeightFormat, rule: ScaleRule
) -> None:
    weight = weights("heavy", 5, 37).to(torch.bfloat16)
    importance = importances(1.0, 6)
    whole = rounded(weight, format, rule, importance)
    monkeypatch.setattr(pieces, "NEAREST_WEIGHTS_CPU", 700)
    parts = rounded(weight, format, rule, importance)
    for name in ("packed", "scale", "data"):
        one, other = (getattr(codes, name, torch.empty(0)) for codes in (whole, parts))
        assert one.dtype == other.dtype
        assert torch.equal(one.view(torch.uint8), other.view(torch.uint8))
    assert torch.equal(whole.rows(3, 9).dequantised(), whole.dequantised()[3:9])
    strided = rounded(weight.T.contiguous().T, format, rule, importance)
    assert torch.equal(strided.dequantised(), whole.dequantised())


def test_little_is_in_memory_beside_a_matrix_and_its_codes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    piece, columns = 2**14, 512
    monkeypatch.setattr(pieces, "NEAREST_WEIGHTS_CPU", piece)
    weight = weights("normal", 11, 256, columns).to(torch.bfloat16)
    importance = importances(1.0, 12, columns)
    with LiveBytes([]) as live:
        codes = rounded(weight, "nvfp4", "sweep", importance)
    assert isinstance(codes, Nvfp4Codes)
    kept = codes.packed.nbytes + codes.scale.nbytes
    # Codes are there twice while the pieces of them are joined.
    assert live.peak - 2 * kept <= 24 * piece < 4 * weight.numel()


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_solvers_may_round_columns_one_by_one_and_in_any_order(format: WeightFormat) -> None:
    numbers, weight = grid(format), weights("normal", 7)
    top = float(weight.abs().max())
    whole = numbers.global_scale(top, Rounding(), weight.dtype, weight.device)
    scale = numbers.choose_scales(weight, whole, "sweep")
    codes = numbers.encode(weight, scale, whole)
    read = numbers.decode(codes, scale, whole)
    assert torch.equal(read, numbers.pack(codes, scale, whole).dequantised())
    again = numbers.decode(numbers.encode(read, scale, whole), scale, whole)
    assert torch.equal(again, read), "what is read stays itself"
    order = torch.randperm(128, generator=torch.Generator().manual_seed(8))
    group = numbers.group_size or 128
    spread = scale.repeat_interleave(group, 1)[:, order]
    assert torch.equal(numbers.encode(weight[:, order], spread, whole), codes[:, order])
    alone = numbers.encode(weight[:, 40:41], spread[:, order == 40], whole)
    assert torch.equal(alone, codes[:, 40:41])


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(format: WeightFormat, value: float) -> None:
    weight = torch.ones(3, 32)
    weight[1, 7] = value
    with pytest.raises(ValueError, match="not finite"):
        rounded(weight, format, "sweep", None)


@pytest.mark.parametrize(("format", "columns"), [("nvfp4", 24), ("mxfp4", 48)])
def test_columns_that_do_not_fit_are_refused(format: WeightFormat, columns: int) -> None:
    with pytest.raises(ValueError, match=f"{format} needs columns in multiples of"):
        rounded(torch.ones(2, columns), format, "absmax", None)


def test_a_scale_that_was_made_for_more_is_shared() -> None:
    weight = weights("normal", 9)
    alone = round_to_nearest(weight, "nvfp4", Rounding("rtn", "absmax"))
    shared = round_to_nearest(weight, "nvfp4", Rounding("rtn", "absmax"), amax=1.0)
    assert isinstance(alone, Nvfp4Codes)
    assert isinstance(shared, Nvfp4Codes)
    assert shared.global_scale.stored == 2688
    assert alone.scale.float().max() == 448 > shared.scale.float().max()


def test_powers_of_two_leave_four_over_six_no_choice() -> None:
    weight = weights("heavy", 10)
    absmax, other = (rounded(weight, "mxfp4", rule, None) for rule in ("absmax", "four-over-six"))
    assert isinstance(absmax, Mxfp4Codes)
    assert isinstance(other, Mxfp4Codes)
    assert torch.equal(absmax.scale, other.scale)
