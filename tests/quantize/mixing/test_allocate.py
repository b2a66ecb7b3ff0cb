"""Which unit gets which format, against a search of all mixes."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4.quantize.mixing.allocate import Sensitivity, allocate
from localfp4.quantize.mixing.units import Unit, units_of
from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.sites import Site
from tests.quantize.mixing.sizes import mix_bytes

FORMATS: tuple[WeightFormat | None, ...] = ("nvfp4", "fp8", None)


def site(name: str, rows: int, columns: int, expert: int | None = None) -> Site:
    return Site((name,), (rows,), columns, expert)


def sensitivity(unit: Unit, nvfp4: float, fp8: float) -> list[Sensitivity]:
    return [Sensitivity(unit, "nvfp4", nvfp4), Sensitivity(unit, "fp8", fp8)]


def test_bytes_of_each_format() -> None:
    unit = Unit("x", (Site(("q", "k"), (64, 32), 128),))
    count = 96 * 128
    assert unit.nbytes("nvfp4") == count * 9 // 16 + 2 * 4
    assert unit.nbytes("mxfp4") == count * 17 // 32
    assert unit.nbytes("fp8") == count + 96 * 4
    assert unit.nbytes(None) == 2 * count


def test_the_experts_of_a_layer_are_one_unit_and_all_else_is_alone() -> None:
    mlp = "model.layers.0.mlp"
    sites = [
        site("model.layers.0.self_attn.q_proj", 32, 32),
        *(site(f"{mlp}.experts.{e}.gate_proj", 32, 32, e) for e in range(3)),
        *(site(f"{mlp}.experts.{e}.down_proj", 32, 32, e) for e in range(3)),
        site(f"{mlp}.shared_experts.gate_proj", 32, 32),
        site("model.layers.1.mlp.experts.0.gate_proj", 32, 32, 0),
    ]
    units = units_of(sites)
    assert [unit.name for unit in units] == [
        "model.layers.0.self_attn.q_proj",
        f"{mlp}.experts",
        f"{mlp}.shared_experts.gate_proj",
        "model.layers.1.mlp.experts",
    ]
    assert units[1].sites == tuple(sites[1:7])
    formats = allocate([Sensitivity(unit, "nvfp4", 1.0) for unit in units], 10**6)
    assert set(formats) == {one.name for one in sites}


def test_the_most_sensitive_unit_gets_the_bits() -> None:
    units = units_of(site(f"layer{i}", 64, 64) for i in range(4))
    found = [s for i, unit in enumerate(units) for s in sensitivity(unit, 0.1 * (i == 2), 0.0)]
    smallest = sum(unit.nbytes("nvfp4") for unit in units)
    one_better = units[2].nbytes("fp8") - units[2].nbytes("nvfp4")
    formats = allocate(found, smallest + one_better)
    assert formats == {
        "layer0": "nvfp4",
        "layer1": "nvfp4",
        "layer2": "fp8",
        "layer3": "nvfp4",
    }
    # A byte less, and nothing better fits.
    assert set(allocate(found, smallest + one_better - 1).values()) == {"nvfp4"}


@settings(max_examples=30)
@given(data=st.data())
def test_no_mix_that_fits_harms_less(data: st.DataObject) -> None:
    shapes = st.tuples(st.integers(1, 6), st.integers(1, 4))
    kl = st.floats(0, 1)
    drawn = data.draw(st.lists(st.tuples(shapes, kl, kl), min_size=1, max_size=5))
    units = units_of(
        site(f"s{i}", 16 * rows, 32 * columns) for i, ((rows, columns), _, _) in enumerate(drawn)
    )
    found = [
        one
        for unit, (_, nvfp4, fp8) in zip(units, drawn, strict=True)
        for one in sensitivity(unit, nvfp4, fp8)
    ]
    costs: dict[tuple[str, WeightFormat | None], float] = {
        (one.unit.name, one.format): one.kl for one in found
    }
    low = sum(unit.nbytes("nvfp4") for unit in units)
    high = sum(unit.nbytes(None) for unit in units)
    target = data.draw(st.integers(low, high + 100))
    rest = data.draw(st.integers(0, 1000))

    formats = allocate(found, target + rest, rest_bytes=rest)

    def harm(mix: dict[str, WeightFormat | None]) -> float:
        return sum([costs.get(pair, 0.0) for pair in mix.items()])

    assert mix_bytes(units, formats) <= target
    every = (
        dict(zip((unit.name for unit in units), mix, strict=True))
        for mix in itertools.product(FORMATS, repeat=len(units))
    )
    best = min(harm(mix) for mix in every if mix_bytes(units, mix) <= target)
    assert harm(formats) == pytest.approx(best, abs=1e-12)


def test_sizes_of_a_large_model_without_common_factors_stay_under_the_target() -> None:
    units = units_of(site(f"s{i}", 4099 + 2 * i, 4096 + 32 * i) for i in range(200))
    found = [one for i, u in enumerate(units) for one in sensitivity(u, 1 / (i + 1), 0.1 / (i + 1))]
    low = sum(unit.nbytes("nvfp4") for unit in units)
    high = sum(unit.nbytes("fp8") for unit in units)
    target = (low + high) // 2
    used = mix_bytes(units, allocate(found, target))
    assert target * 0.995 < used <= target


def test_a_size_that_cannot_be_had_names_the_least_that_can() -> None:
    units = units_of([site("a", 10**5, 32000)])
    with pytest.raises(RequestError) as refused:
        allocate(sensitivity(units[0], 1, 1), 10**9, rest_bytes=5 * 10**8)
    message = str(refused.value)
    assert "does not fit 1.00 GB" in message
    assert "take 1.80 GB" in message
    assert "as it is 0.5000 GB" in message
    least = math.ceil((units[0].nbytes("nvfp4") + 5 * 10**8) / 1e7) / 100
    assert f"--target-size {least:.2f} or more" in message
    allocate(sensitivity(units[0], 1, 1), int(least * 1e9), rest_bytes=5 * 10**8)
