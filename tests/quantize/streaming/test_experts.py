"""Experts, each with the rows that the router sends it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming import look as looking
from localfp4.quantize.streaming.experts import WatchedExperts
from localfp4.quantize.streaming.gathering import Gathering, Wish
from localfp4.quantize.streaming.look import look
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4_kernels.moe.experts import moe_torch
from tests.quantize.streaming import walk

WISH = Wish(hessian=True)


class Spy:
    """Experts that note what they are given."""

    def __init__(self, experts: WatchedExperts, calls: list[tuple[torch.Tensor, ...]]) -> None:
        self.experts = experts
        self.calls = calls

    def prepare(self, x: torch.Tensor, decodes: int) -> None:
        self.experts.prepare(x, decodes)

    def forward(
        self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor, *rest: Any
    ) -> torch.Tensor:
        self.calls.append((x, weights, chosen))
        return self.experts.forward(x, weights, chosen, *rest)


def looked_at(
    folder: Path, name: str = "qwen3_moe"
) -> tuple[ObservedLayer, list[tuple[torch.Tensor, ...]]]:
    """Return the first layer after all tokens passed it, and what its experts were given."""
    _, opened = walk.saved(name, folder)
    calls: list[tuple[torch.Tensor, ...]] = []
    with walk.walking(opened, walk.recipe(), folder) as (batches, activations, read):
        layer = read(0)
        assert layer.experts is not None
        object.__setattr__(layer.layer.feed_forward, "experts", Spy(layer.experts, calls))
        list(look(layer, layer.sites, WISH, batches, activations))
    return layer, calls


def test_every_expert_is_given_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[InputStatistics] = []
    monkeypatch.setattr(looking, "_borrow", lambda own, pool: pools.append(pool))
    layer, calls = looked_at(tmp_path)
    experts = layer.experts
    assert experts is not None
    x, weights, chosen = (torch.cat(parts) for parts in zip(*calls, strict=True))
    total = 0
    for index, (up, down) in enumerate(zip(experts.up_watches, experts.down_watches, strict=True)):
        token, choice = torch.where(chosen == index)
        rows, routing = x[token].double(), weights[token, choice].double()
        gate, value = functional.linear(rows, experts.up[index].double()).chunk(2, dim=1)
        for watch, inputs in ((up, rows), (down, functional.silu(gate) * value)):
            assert watch.site.expert == index
            found = layer.statistics[watch.site.name]
            expected = (inputs * routing.square()[:, None]).T @ inputs
            assert found.hessian is not None
            torch.testing.assert_close(found.hessian.double(), expected, rtol=1e-4, atol=1e-4)
            assert found.rows == len(token)
        total += len(token)
    assert total == chosen.numel() == walk.SAMPLES * walk.LENGTH * 3
    # What is borrowed counts as much as what an expert sees itself, before both products.
    for pool in (pools[0], pools[-1]):
        assert pool.weight / pool.rows == pytest.approx(float(weights.square().mean()), rel=1e-4)


@pytest.mark.parametrize("name", ["qwen3_moe", "gpt_oss", "nemotron_h", "gemma4-moe"])
def test_results_are_those_of_experts_that_nobody_watches(tmp_path: Path, name: str) -> None:
    _, opened = walk.saved(name, tmp_path)
    with walk.walking(opened, walk.recipe(), tmp_path) as (_, _, read):
        experts = next(
            one
            for index in range(len(opened.spec.layers))
            if (one := read(index).experts) is not None
        )
    generator = torch.Generator().manual_seed(3)
    count, columns = len(experts.up), experts.up.shape[2]
    x = torch.randn(40, columns, generator=generator)
    weights = torch.rand(40, 2, generator=generator)
    scores = torch.rand(40, count, generator=generator)
    scores[:, 1] = -1  # nobody asks the second
    chosen = scores.topk(2).indices
    expected = moe_torch(
        x,
        experts.up,
        experts.down,
        weights,
        chosen,
        activation=experts.activation,
        gate_up_bias=experts.up_bias,
        down_bias=experts.down_bias,
    )
    found = experts.forward(x, weights, chosen.int(), 0, added=torch.ones_like(x))
    torch.testing.assert_close(found - 1, expected, rtol=1e-5, atol=1e-4)


def test_an_expert_with_few_rows_borrows_what_is_missing() -> None:
    generator = torch.Generator().manual_seed(4)
    rare, rest = (torch.randn(n, 32, generator=generator) for n in (5, 400))
    routing = torch.rand(405, generator=generator)

    def gathered(rows: torch.Tensor, weights: torch.Tensor) -> InputStatistics:
        found = Gathering(32, WISH, walk.CPU)
        found.add(rows, weights)
        return found.statistics

    own, often = gathered(rare, routing[:5]), gathered(rest, routing[5:])
    pool = gathered(torch.cat((rare, rest)), routing)
    before, kept = own.hessian, often.hessian
    assert before is not None
    assert kept is not None
    assert pool.hessian is not None
    expected = before + pool.hessian * 27 / 405
    untouched = kept.clone()
    looking._borrow(own, pool)
    looking._borrow(often, pool)
    assert own.hessian is not None
    assert often.hessian is not None
    torch.testing.assert_close(own.hessian, expected)
    torch.testing.assert_close(own.square, expected.diagonal(), rtol=1e-4, atol=0)
    assert own.borrowed
    assert own.rows == 5
    assert not often.borrowed
    assert torch.equal(often.hessian, untouched)
    assert own.largest == often.largest == pool.largest


def test_an_expert_that_nobody_asked_has_a_hessian(tmp_path: Path) -> None:
    layer, calls = looked_at(tmp_path)
    asked = torch.cat([call[2] for call in calls]).unique()
    experts = layer.experts
    assert experts is not None
    for watch in experts.up_watches:
        found = layer.statistics[watch.site.name]
        assert found.hessian is not None
        assert float(found.hessian.diagonal().min()) > 0
        assert found.borrowed == (found.rows < watch.site.columns)
        assert (watch.site.expert in asked) == (found.rows > 0)
        assert found.largest == layer.statistics[experts.up_watches[0].site.name].largest
