"""What is learned of inputs: the rows that the linears of transformers read."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.quantize.streaming.gathering import Gathering, Wish
from localfp4.quantize.streaming.look import look
from localfp4.quantize.streaming.run_layer import advance
from tests.quantize.streaming import walk

pytestmark = pytest.mark.parity

Rows = dict[str, list[torch.Tensor]]


def rows_of_linears(model: Any) -> Rows:
    """Return what every linear of a model of transformers reads, by its name."""
    seen: Rows = defaultdict(list)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):

            def keep(_: object, args: Any, name: str = name) -> None:
                seen[name].append(args[0].detach().flatten(0, -2).double())

            module.register_forward_pre_hook(keep)
    with torch.no_grad():
        model(walk.tokens())
    return seen


@pytest.mark.parametrize("name", ["qwen3", "deepseek_v3", "qwen3_next", "gemma4-small"])
def test_hessians_are_those_of_the_inputs_of_linears(tmp_path: Path, name: str) -> None:
    model, opened = walk.saved(name, tmp_path)
    seen, files = rows_of_linears(model), walk.original_names(opened)
    compared = 0
    with walk.walking(opened, walk.recipe(), tmp_path) as (batches, activations, read):
        for index in range(len(opened.spec.layers)):
            layer = read(index)
            alone = [site for site in layer.sites if site.expert is None]
            list(look(layer, alone, Wish(hessian=True), batches, activations))
            for site in alone:
                found = layer.statistics[site.name]
                for prefix in site.prefixes:
                    x = torch.cat(seen[files[prefix]])
                    assert found.hessian is not None
                    expected = x.T @ x
                    tolerance = 1e-5 * float(expected.abs().max())
                    torch.testing.assert_close(
                        found.hessian.double(), expected, rtol=0, atol=tolerance
                    )
                    torch.testing.assert_close(
                        found.amax.double(), x.abs().amax(0), rtol=1e-4, atol=1e-5
                    )
                    assert found.rows == found.weight == len(x) == walk.SAMPLES * walk.LENGTH
                    compared += 1
            for _ in advance(layer, batches, activations):
                pass
    assert compared >= len(opened.spec.layers)


def test_the_maps_of_latent_attention_are_seen(tmp_path: Path) -> None:
    _, opened = walk.saved("deepseek_v3", tmp_path)
    with walk.walking(opened, walk.recipe(), tmp_path) as (_, _, read):
        names = {prefix.rpartition(".")[2] for site in read(0).sites for prefix in site.prefixes}
    assert "kv_b_proj" in names


def test_sums_are_weighted_by_squared_routing_weights() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(50, 32, generator=generator) * torch.logspace(-1, 1, 32)
    routing = torch.rand(50, generator=generator)
    found = Gathering(32, Wish(hessian=True, sample=4), walk.CPU)
    for start, end in ((0, 20), (20, 20), (20, 50)):
        found.add(x[start:end], routing[start:end])
    rows, weight = x.double(), routing.double().square()
    statistics = found.statistics
    assert statistics.hessian is not None
    torch.testing.assert_close(
        statistics.hessian.double(), rows.T @ (rows * weight[:, None]), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(statistics.square, statistics.hessian.diagonal(), rtol=1e-5, atol=0)
    torch.testing.assert_close(statistics.mean_abs.double(), rows.abs().sum(0), rtol=1e-5, atol=0)
    assert torch.equal(statistics.amax, x.abs().amax(0))
    assert statistics.weight == pytest.approx(float(weight.sum()))
    assert statistics.rows == 50
    assert statistics.sample is not None
    assert len(statistics.sample) == 8
    assert all((row == x).all(1).any() for row in statistics.sample)


def test_rotated_inputs_have_the_rotated_hessian() -> None:
    x = torch.randn(40, 64, generator=torch.Generator().manual_seed(2))
    plain, rotated = (Gathering(64, Wish(hessian=True, rotation=r), walk.CPU) for r in (0, 32))
    plain.add(x)
    rotated.add(x)
    signs = torch.tensor([[(-1.0) ** (i & j).bit_count() for j in range(32)] for i in range(32)])
    turn = torch.block_diag(*[signs.double() / 32**0.5] * 2)
    first, second = plain.statistics.hessian, rotated.statistics.hessian
    assert first is not None
    assert second is not None
    torch.testing.assert_close(second.double(), turn @ first.double() @ turn, rtol=0, atol=1e-4)
    assert (first - second).abs().max() > 1
