"""Which cells fit a machine, how an engine is built for them, and who enters a run."""

from pathlib import Path

import pytest

from localfp4.bench.planning.entrants import fittings, own_entrants
from localfp4.bench.planning.fitting import Fitting, fit
from localfp4.bench.planning.lineup import Seat, lineup
from localfp4.bench.planning.sizing import sized
from localfp4.bench.records import Series
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.models.forecast import Weighed
from localfp4.models.placement import Placement
from localfp4.models.plan import Machine, cpu_machine
from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    LayerSpec,
    MambaSpec,
    MlpSpec,
    NormSpec,
    RopeSpec,
)
from localfp4.models.weight_sizes import WeightSizes

GIB = 2**30
ATTENTION = AttentionSpec(heads=32, kv_heads=8, head_dim=128, scale=0.1, rope=RopeSpec(128, 1e4))
LAYER = LayerSpec(ATTENTION, MlpSpec(12288))
SPEC = DecoderSpec("qwen3", 150_000, 4096, NormSpec(1e-6), 32_768, (LAYER,) * 36)
SIZES = WeightSizes(rest=2 * GIB, layers=(GIB // 9,) * 36, experts=(0,) * 36)
WEIGHED = Weighed(SPEC, "bfloat16", SIZES)
CONFIG = EngineConfig("m", kernels="torch")
SMALL, LONG, WIDE = Case(1, 1024, 128), Case(16, 8192, 128), Case(64, 1024, 128)
KV_BYTES = 2 * 36 * 8 * 128 * 2
"""Of a token, in bfloat16."""


def card(free_gib: float, ram_gib: float = 0.0) -> Machine:
    """Return a card on which nothing stays free for others."""
    return Machine("cuda", int(free_gib * GIB), 48 * GIB, 0, int(ram_gib * GIB), 89)


def fitted(free_gib: float, *cases: Case, config: EngineConfig = CONFIG) -> Fitting:
    return fit(config, WEIGHED, card(free_gib), cases)


def test_an_engine_is_built_for_its_largest_cases_and_no_larger() -> None:
    built = sized(CONFIG, (SMALL, LONG, WIDE))
    assert (built.max_batch, built.max_model_len) == (64, 8320)
    assert built.kv_cache_tokens == LONG.kv_tokens == 16 * 130 * 64
    assert (built.speculation, built.prefix_caching, built.kv_ram_bytes) == ("off", False, 0)
    assert sized(built, (SMALL, LONG, WIDE)) == built


def test_a_context_that_ends_after_a_page_still_fits_the_cache() -> None:
    """The last token of an answer is not cached, but counts as context."""
    built = sized(CONFIG, (Case(1, 64, 1),))
    assert built.max_model_len == 65
    assert built.kv_cache_tokens == 128


def test_depth_needs_what_is_kept_between_requests() -> None:
    assert sized(CONFIG, (Case(1, 64, 1, depth=128),)).prefix_caching


def test_what_was_asked_for_stays() -> None:
    asked = EngineConfig("m", max_model_len=4096, speculation="ngram")
    built = sized(asked, (SMALL,))
    assert (built.max_model_len, built.kv_cache_tokens, built.speculation) == (4096, 4096, "ngram")


def test_everything_fits_a_large_card_and_weighs_what_it_weighs_by_hand() -> None:
    found = fitted(40.0, SMALL, WIDE)
    assert found.cases == (SMALL, WIDE)
    assert found.refused == {}
    demand = found.demands[WIDE]
    assert demand.weights == SIZES.total
    # A page more is there to be written to where nothing is to be kept.
    assert demand.cache == (WIDE.kv_tokens + 64) * KV_BYTES
    assert found.plan is not None
    assert found.plan.kv_cache_tokens == WIDE.kv_tokens
    assert found.plan.placement == Placement()


def test_a_cell_that_does_not_fit_says_what_it_needs_and_what_there_is() -> None:
    found = fitted(16.0, SMALL, LONG, WIDE)
    assert found.cases == (SMALL,)
    needs = found.demands[LONG].total / GIB
    assert found.refused[LONG] == f"OOM (needs {needs:.1f} GiB; 16.0 free)"
    assert found.refused[WIDE].startswith("OOM (needs ")
    assert found.config.max_batch == 1


def test_sizes_that_look_alike_get_more_decimals() -> None:
    needed = fitted(40.0, SMALL).demands[SMALL].total
    barely = fit(CONFIG, WEIGHED, Machine("cuda", needed - GIB // 50, 48 * GIB, 0, 0, 89), [SMALL])
    assert (
        barely.refused[SMALL]
        == f"OOM (needs {needed / GIB:.2f} GiB; {needed / GIB - 0.02:.2f} free)"
    )
    assert fit(CONFIG, WEIGHED, Machine("cuda", needed, 48 * GIB, 0, 0, 89), [SMALL]).cases == (
        SMALL,
    )


def test_the_largest_cells_leave_first_where_all_do_not_fit_together() -> None:
    """A wide one needs work for its batch, a long one a cache and an attention of its length."""
    free = max(fitted(40.0, one).demands[one].total for one in (LONG, WIDE)) / GIB
    found = fitted(free, SMALL, WIDE, LONG)
    assert found.cases == (SMALL, WIDE)
    assert "GiB with the other cells;" in found.refused[LONG]


def test_no_cell_makes_room_for_itself_by_moving_weights() -> None:
    config = EngineConfig("m", kernels="triton")
    found = fit(config, WEIGHED, card(12.0, ram_gib=64.0), (SMALL, LONG))
    assert found.cases == (SMALL,)
    assert found.refused[LONG].startswith("OOM")
    assert found.plan is not None
    assert found.plan.placement.is_whole


def test_weights_that_do_not_fit_are_measured_where_they_lie() -> None:
    config = EngineConfig("m", kernels="triton")
    found = fit(config, WEIGHED, card(5.0, ram_gib=64.0), (SMALL,))
    assert found.cases == (SMALL,)
    assert found.plan is not None
    assert not found.plan.placement.is_whole


@pytest.mark.parametrize(
    ("config", "case", "sentence"),
    [
        (CONFIG, Case(1, 32_768, 1), "32769 tokens exceed the 32768 that the model was made for."),
        (
            EngineConfig("m", max_model_len=512),
            SMALL,
            "1152 tokens exceed the context of 512 that was asked for.",
        ),
    ],
)
def test_a_cell_beyond_the_context_says_so(config: EngineConfig, case: Case, sentence: str) -> None:
    found = fitted(40.0, case, Case(1, 8, 8), config=config)
    assert found.refused == {case: sentence}
    assert found.cases == (Case(1, 8, 8),)
    assert case not in found.demands


def test_a_limit_that_was_set_is_what_is_free() -> None:
    limited = EngineConfig("m", kernels="torch", vram_limit=5 * GIB)
    assert "; 5.0 free)" in fitted(40.0, SMALL, config=limited).refused[SMALL]


@pytest.mark.parametrize(("free_gib", "reserved_gib"), [(16.0, 0.0), (9.5, 0.5), (9.0, 1.0)])
def test_what_a_limit_leaves_free_is_a_desktops(free_gib: float, reserved_gib: float) -> None:
    """As the plan of a model has it: the limit, or what is free but a GiB, whichever is less."""
    machine = Machine("cuda", int(free_gib * GIB), 48 * GIB, GIB, 0, 89)
    limited = EngineConfig("m", kernels="torch", vram_limit=9 * GIB)
    found = fit(limited, WEIGHED, machine, (SMALL,))
    assert found.demands[SMALL].reserve == reserved_gib * GIB
    taken = found.demands[SMALL].total - found.demands[SMALL].reserve
    for spare, fits in ((0, True), (-1, False)):
        exact = EngineConfig("m", kernels="torch", vram_limit=taken + spare)
        assert bool(fit(exact, WEIGHED, card(40.0), (SMALL,)).cases) is fits
        desktop = Machine("cuda", 40 * GIB, 48 * GIB, GIB, 0, 89)
        assert bool(fit(exact, WEIGHED, desktop, (SMALL,)).cases) is fits


@pytest.mark.parametrize("window", [None, 2048])
def test_a_batch_has_its_states_and_windows_where_the_memory_has_room(window: int | None) -> None:
    """Neither a quarter of the memory for states nor a half for windows is all there is."""
    mamba = MambaSpec(128, 64, 8, 128, 4, True, False, 0.0, 1.0, 1e-5)
    mixer = (
        mamba
        if window is None
        else AttentionSpec(
            heads=32, kv_heads=8, head_dim=128, scale=0.1, rope=RopeSpec(128, 1e4), window=window
        )
    )
    layers = (LayerSpec(mixer, MlpSpec(12288)), LAYER) * 18
    spec = DecoderSpec("hybrid", 150_000, 4096, NormSpec(1e-6), 32_768, layers)
    weighed = Weighed(spec, "bfloat16", SIZES)
    wide = Case(64, 1024, 128)
    needed = fit(CONFIG, weighed, card(400.0), [wide]).demands[wide].total
    barely = Machine("cuda", needed + GIB // 8, 48 * GIB, 0, 0, 89)
    found = fit(CONFIG, weighed, barely, [wide])
    assert found.cases == (wide,)
    assert found.plan is not None
    assert found.plan.state_slots == (64 if window is None else 0)


def test_own_entrants_carry_what_their_process_needs(fixtures: Path) -> None:
    model = str(fixtures / "m_qwen3")
    machine = cpu_machine(8 * GIB, 16 * GIB)
    huge = Case(1, 10**6, 1)
    entrants, refused = own_entrants(
        [model], ["bf16", "w4a8", "w4a16"], (Case(2, 8, 4), huge), EngineConfig(model), machine
    )
    assert [entrant.series for entrant in entrants] == [
        Series(model, "bf16"),
        Series(model, "w4a16"),
    ]
    for entrant in entrants:
        assert entrant.cases == entrant.settings["cases"] == (Case(2, 8, 4),)
        config = entrant.settings["config"]
        assert (config.max_batch, config.max_model_len, config.dtype) == (2, 12, "float32")
        assert entrant.needed_bytes is not None
        assert entrant.needed_bytes > 300 * 2**20
    statuses = {(row.series.format, row.case): (row.status, row.repeat) for row in refused}
    assert statuses == {
        ("bf16", huge): ("does_not_fit", 0),
        ("w4a16", huge): ("does_not_fit", 0),
        ("w4a8", huge): ("replaced", 0),
        ("w4a8", Case(2, 8, 4)): ("replaced", 0),
    }


def test_a_format_is_replaced_only_by_one_that_does_not_run_anyway(fixtures: Path) -> None:
    model, machine = str(fixtures / "m_qwen3"), cpu_machine(8 * GIB, 16 * GIB)

    def seats(*formats: str) -> tuple[Seat, ...]:
        return lineup([model], formats, EngineConfig(model), machine)

    (alone,) = seats("w4a4")
    assert alone.config is not None
    assert alone.config.rounding == "nvfp4"
    assert alone.runs.startswith("w4a16, since ")
    both = seats("w4a4", "w4a16")
    assert [seat.status for seat in both if seat.config is None] == ["replaced"]
    assert both[0].reason.startswith("w4a16 runs instead, since ")
    assert both[1].runs == ""


def test_what_nothing_runs_has_no_size(fixtures: Path) -> None:
    seats = [Seat(Series("m", "mxfp4"), reason="It cannot be.")]
    assert fittings(seats, cpu_machine(GIB, GIB), [SMALL]) == [None]
