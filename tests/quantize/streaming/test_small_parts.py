"""Rounds, time that is left, room for activations, and which linears are chosen."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.errors import UserError
from localfp4.quantize.chosen import chosen_linears, is_kept
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.hidden import room_for
from localfp4.quantize.streaming.pace import Pace, Step
from localfp4.quantize.streaming.rounds import hessian_bytes, rounds_of
from tests.quantize.streaming import walk


def site(name: str, columns: int, expert: int | None = None) -> Site:
    return Site((name,), (64,), columns, expert)


SITES = [site("a", 64), site("b", 64), site("c", 128), site("d", 64)]


def test_hessians_of_a_round_fit_its_budget() -> None:
    small = hessian_bytes(SITES[0])
    assert small == 64 * 64 * 4
    assert rounds_of(SITES, None) == [SITES]
    assert rounds_of(SITES, 7 * small) == [SITES]
    assert rounds_of(SITES, 6 * small) == [SITES[:3], SITES[3:]]
    assert rounds_of(SITES, 2 * small) == [SITES[:2], [SITES[2]], [SITES[3]]]
    assert rounds_of(SITES, 0) == [[one] for one in SITES]
    assert rounds_of([], 0) == rounds_of([], None) == []


def test_sums_over_all_experts_take_room_too() -> None:
    experts = [site(f"e{index}", 64, index) for index in range(6)]
    one = hessian_bytes(experts[0])
    assert [len(part) for part in rounds_of(experts, 4 * one)] == [3, 3]


def test_time_left_is_known_once_each_kind_of_step_was_done() -> None:
    now = iter([0.0, 2.0, 5.0, 25.0, 27.0])
    steps = [Step("look", 10), Step("look", 30), Step("round", 4), Step("round", 4)]
    pace = Pace(steps, lambda: next(now))
    first = pace.did(steps[0], "first")
    assert (first.stage, first.done, first.total, first.eta_s) == ("first", 1, 4, None)
    # Two seconds for 10, three for 30 more; nobody knows what rounding takes.
    assert pace.did(steps[1], "second").eta_s is None
    assert pace.did(steps[2], "third").eta_s == pytest.approx(20)
    assert pace.did(steps[3], "fourth").eta_s == 0


def test_activations_lie_in_a_file_where_memory_is_too_small(tmp_path: Path) -> None:
    for free in (10**9, 100):
        found = room_for((3, 5, 8), torch.bfloat16, tmp_path / "x.bin", free_bytes=free)
        values = torch.randn(3, 5, 8).bfloat16()
        found[1:].copy_(values[1:])
        found[:1].copy_(values[:1])
        assert found.shape == (3, 5, 8)
        assert torch.equal(found, values)
        del found


def test_no_room_anywhere_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"take 2305843009\.2 GB.*fewer samples"):
        room_for((2**60,), torch.bfloat16, tmp_path / "x.bin", free_bytes=0)
    assert not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("model.layers.0.mlp.down_proj", True),
        ("down_proj", True),
        ("mlp.down_proj", True),
        ("mlp", True),
        ("model.layers.0", True),
        ("layers.*.down_proj", True),
        ("*down*", True),
        ("own_proj", False),
        ("model.layers.1", False),
        ("self_attn", False),
        ("", False),
    ],
)
def test_patterns_name_modules_by_whole_names_or_ends(pattern: str, kept: bool) -> None:
    assert is_kept("model.layers.0.mlp.down_proj", (pattern,)) == kept
    assert not is_kept("model.layers.10.self_attn.v_proj", ("model.layers.1",))


def test_experts_are_chosen_together_or_not_at_all(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3_moe", tmp_path)
    every = chosen_linears(opened, walk.recipe()).names
    kept = chosen_linears(opened, walk.recipe(keep=("layers.1.mlp.experts.3.down_proj",))).names
    gone = every - kept
    assert gone == {name for name in every if name.startswith("model.layers.1.mlp.experts.")}
    assert "lm_head" in every
    assert not any(".mlp.gate" in name and "experts" not in name for name in every)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("layers.0.self_attn.v_proj", {"q_proj", "k_proj", "v_proj"}),
        ("layers.0.mlp.gate_proj", {"gate_proj", "up_proj"}),
        ("layers.0.mlp.down_proj", {"down_proj"}),
    ],
)
def test_what_runs_merged_is_chosen_together(pattern: str, kept: set[str], tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3", tmp_path)
    every = chosen_linears(opened, walk.recipe()).names
    gone = every - chosen_linears(opened, walk.recipe(keep=(pattern,))).names
    assert {name.rpartition(".")[2] for name in gone} == kept
    assert all(name.startswith("model.layers.0.") for name in gone)


def test_columns_fit_blocks_and_rotations(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3", tmp_path)  # 64 and 96 columns
    assert not chosen_linears(opened, walk.recipe()).unfit
    found = chosen_linears(opened, replace(walk.recipe(), rotation=64))
    assert {name.rpartition(".")[2] for name in found.unfit} == {"down_proj"}
    assert not any(name.endswith("down_proj") for name in found.names)
