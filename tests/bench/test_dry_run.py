"""A run that is not begun: what it tells of cells, of how many runs, and of how long."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localfp4.bench.planning.dry_run import DryRun, Prospect, dry_run
from localfp4.bench.planning.dry_run_report import dry_run_to_json, dry_run_to_markdown
from localfp4.bench.planning.fitting import fit
from localfp4.bench.planning.lineup import Seat
from localfp4.bench.records import Method, Series
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.models.plan import cpu_machine
from localfp4.telemetry.cards import card_named
from tests.bench.test_fitting import CONFIG, GIB, LONG, SIZES, SMALL, WEIGHED, card, fitted

METHOD = Method("", repeats=5, warmup=2, seed=0)
RTX_4090 = card_named("4090")


def planned(free_gib: float = 16.0, method: Method = METHOD) -> DryRun:
    """Return the plan of two series, of which the first does not run its long cell, and a third."""
    machine = card(free_gib)
    smaller = replace(WEIGHED, sizes=replace(SIZES, layers=(GIB // 36,) * 36))
    prospects = (
        Prospect(Seat(Series("m", "bf16"), CONFIG), fitted(free_gib, SMALL, LONG)),
        Prospect(
            Seat(Series("m", "w4a16"), replace(CONFIG, precision="w4a16")),
            fit(replace(CONFIG, precision="w4a16"), smaller, machine, (SMALL,)),
        ),
        Prospect(Seat(Series("m", "w4a4"), status="replaced", reason="w4a16 runs instead."), None),
    )
    return DryRun("a card", machine, RTX_4090, method, (SMALL, LONG), prospects)


def test_runs_are_counted_with_what_warms_up_after_every_loading() -> None:
    stays, reloads = planned(24.0), planned(9.0)
    assert (stays.stays_loaded, stays.loadings) == (True, 1)
    assert (reloads.stays_loaded, reloads.loadings) == (False, 5)
    assert stays.runs == reloads.runs == 2 * 5
    assert stays.warm_ups == 2 * 2
    assert reloads.warm_ups == 2 * 2 * 5


def test_a_single_series_is_loaded_once_however_large() -> None:
    one = planned(9.0)
    one = replace(one, prospects=one.prospects[:1])
    assert (one.stays_loaded, one.loadings, one.runs) == (True, 1, 5)


def test_the_time_follows_from_the_published_limits_by_hand() -> None:
    """Decoding reads all but the table that is looked up, and keys and values of half the answer."""
    alone = planned(40.0, replace(METHOD, warmup=0, repeats=1))
    alone = replace(alone, prospects=alone.prospects[:1])
    fitting = alone.running[0]
    assert fitting.cases == (SMALL, LONG)
    alone = replace(alone, prospects=(Prospect(alone.prospects[0].seat, fitted(40.0, SMALL)),))
    context = SMALL.input_tokens + SMALL.output_tokens // 2
    step_s = (SIZES.total + context * 2 * 36 * 8 * 128 * 2) / 1008e9
    # Linears of a layer: q, o, k and v, and three of the network; half of all pairs attend.
    layer = 4096 * (2 * 32 + 2 * 8) * 128 + 3 * 4096 * 12288
    pairs = 1024 * 1025 // 2
    flops = 36 * (2 * 1024 * layer + 4 * 32 * 128 * pairs) + 2 * 150_000 * 4096
    prompt_s = flops / (RTX_4090.fp16_tflops or 0) / 1e12
    assert alone.expected_s == pytest.approx((prompt_s + 127 * step_s) / 0.7)


@pytest.mark.parametrize("name", ["none", "GeForce RTX 4060 Laptop GPU"])
def test_without_limits_there_is_no_time(name: str) -> None:
    unknown = replace(planned(), card=None if name == "none" else card_named(name))
    assert unknown.expected_s is None
    assert "cannot be estimated" in dry_run_to_markdown(unknown)


def test_the_table_has_a_line_for_each_cell_and_says_what_does_not_fit() -> None:
    text = dry_run_to_markdown(planned())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 1 + 2
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["batch", "input", "output", "KV tokens", "KV GiB", "bf16", "w4a16", "w4a4"]
    assert cells[2] == ["weights", "", "", "", "", "6.00", "3.00", "replaced"]
    assert cells[3][:4] == ["1", "1024", "128", "1152"]
    assert cells[4][5].startswith("OOM 2")
    assert cells[4][7] == "-"
    assert "- w4a4: w4a16 runs instead." in text
    assert "- OOM: more than is free; such cells are left out." in text
    assert "- 10 runs: 2 cells, 5 of each, and 4 to warm up." in text
    assert "- All series stay loaded, in " in text
    assert " without loading, an estimate: 70% of what the card allows." in text


def test_repeats_that_a_minute_may_cut_short_are_no_promise() -> None:
    text = dry_run_to_markdown(replace(planned(), method=replace(METHOD, budget_s=60.0)))
    said = "- 10 runs: 2 cells, 5 of each, or as many as begin within 60 seconds, and 4 to warm up."
    assert said in text


def test_json_has_every_series_with_every_cell() -> None:
    found = json.loads(dry_run_to_json(planned()))
    assert found["runs"] == 10
    assert found["expected_s"] > 0
    assert [(row["format"], row["batch"], row["status"]) for row in found["rows"]] == [
        ("bf16", 1, "ok"),
        ("bf16", 16, "does_not_fit"),
        ("w4a16", 1, "ok"),
        ("w4a16", 16, "ok"),
        ("w4a4", 1, "replaced"),
        ("w4a4", 16, "replaced"),
    ]
    row = found["rows"][1]
    assert row["reason"].startswith("OOM (needs ")
    assert row["total_bytes"] > found["device"]["free_bytes"]
    assert found["series"][0]["context_tokens"] == SMALL.length


def test_names_cannot_break_the_table() -> None:
    evil = replace(planned(), where="a\x1b[2Jcard\n| b |")
    text = dry_run_to_markdown(evil)
    assert "\x1b" not in text
    assert text.splitlines()[0].startswith("**a card | b |**") or "acard" in text.splitlines()[0]


def test_a_real_model_is_planned_without_loading_it(fixtures: Path) -> None:
    model = str(fixtures / "m_qwen3")
    found = dry_run(
        [model],
        ["bf16", "w4a8"],
        [Case(1, 8, 4), Case(1, 10**6, 4)],
        EngineConfig(model),
        "a CPU",
        cpu_machine(8 * GIB, 16 * GIB),
        None,
        METHOD,
    )
    assert [one.cases for one in found.prospects] == [(Case(1, 8, 4),)] * 2
    text = dry_run_to_markdown(found)
    assert "1000004 tokens exceed the" in text
    assert "w4a8: what runs is w4a16, since" in text
