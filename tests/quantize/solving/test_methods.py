"""How much each method helps on inputs that calibration did not see."""

from dataclasses import replace

import pytest

from localfp4.quantize.recipe import Rounding, ScaleRule, Solver, WeightFormat
from localfp4.quantize.rounding.errors import output_error, weight_error
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.rounding.solve import solve
from tests.quantize.solving.correlated import Case, case, statistics_of


@pytest.fixture(scope="module")
def made() -> Case:
    return case()


def errors(
    made: Case,
    solver: Solver,
    scales: ScaleRule,
    *,
    calibrated: bool = True,
    replay: bool = False,
    rotation: int = 0,
    format: WeightFormat = "nvfp4",
) -> tuple[float, float]:
    """Return the error of outputs with 16-bit and with 4-bit activations."""
    parts = (rotate(part, rotation) for part in (made.weight, made.seen, made.unseen))
    turned = Case(*parts)
    statistics = statistics_of(turned.seen) if calibrated else None
    codes, _ = solve(turned.weight, statistics, format, Rounding(solver, scales, replay=replay))
    rounded = codes.dequantised()
    return turned.error(rounded), turned.error(rounded, "mxfp4" if format == "mxfp4" else "nvfp4")


def test_each_step_helps(made: Case) -> None:
    steps = [
        errors(made, "rtn", "absmax", calibrated=False),
        errors(made, "rtn", "four-over-six", calibrated=False),
        errors(made, "rtn", "sweep", calibrated=False),
        errors(made, "rtn", "sweep"),
        errors(made, "gptq", "absmax"),
        errors(made, "gptq", "sweep"),
        errors(made, "gptq", "sweep", replay=True),
    ]
    for wide, narrow in zip(*(iter(steps), iter(steps[1:])), strict=False):
        assert narrow[0] < 0.95 * wide[0]
        assert narrow[1] < wide[1]


def test_gptq_beats_nearest_by_what_was_promised(made: Case) -> None:
    nearest = errors(made, "rtn", "absmax", calibrated=False)
    solved = errors(made, "gptq", "sweep")
    assert nearest[0] > 2.5 * solved[0]
    assert nearest[1] > 1.3 * solved[1]


def test_rotation_helps_mxfp4_and_not_nvfp4(made: Case) -> None:
    """As published: NVFP4's groups are small enough to keep outliers to themselves."""
    plain, turned = (errors(made, "gptq", "sweep", rotation=size) for size in (0, 16))
    assert turned[1] > plain[1]
    plain, turned = (
        errors(made, "gptq", "sweep", rotation=size, format="mxfp4") for size in (0, 32)
    )
    assert turned[0] < plain[0]
    assert turned[1] < plain[1]


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
@pytest.mark.parametrize("solver", ["rtn", "gptq"])
def test_the_error_that_is_told(made: Case, solver: Solver, format: WeightFormat) -> None:
    rounding, statistics = Rounding(solver), statistics_of(made.seen)
    assert statistics.hessian is not None
    codes, told = solve(made.weight, statistics, format, rounding)
    assert told == output_error(made.weight, codes, statistics.hessian)
    wrong = made.seen.double() @ (codes.dequantised() - made.weight).double().T
    exact = made.seen.double() @ made.weight.double().T
    assert told == pytest.approx(float(wrong.square().sum() / exact.square().sum()), rel=1e-3)


@pytest.mark.parametrize("solver", ["rtn", "gptq"])
def test_without_a_hessian_weights_are_rounded_to_nearest(made: Case, solver: Solver) -> None:
    codes, told = solve(made.weight, None, "nvfp4", Rounding(solver))
    assert told == weight_error(made.weight, codes)
    unseen = replace(statistics_of(made.seen), hessian=None)
    weighted, error = solve(made.weight, unseen, "nvfp4", Rounding(solver))
    assert error > told  # of the weights, as some inputs matter more than others
    assert made.error(weighted.dequantised()) < made.error(codes.dequantised())
