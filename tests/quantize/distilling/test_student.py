"""Gradients of a model in training, against those of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.distilling.student import Lesson, Student
from localfp4.quantize.distilling.student_layer import load_student_layer
from localfp4.quantize.distilling.trained_norms import TrainedNorm
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import embedded, load_output
from localfp4.quantize.streaming.observed import observe_layer
from localfp4.quantize.streaming.run_layer import advance
from tests.models import tiny
from tests.quantize.rounded_streams import CPU, results_of

FAMILIES = (
    "qwen3",
    "qwen3_moe",
    "gemma3",
    "gemma4-small",
    "gpt_oss",
    "qwen3_next",
    "granitemoehybrid",
    "nemotron_h",
    "lfm2",
)
WINDOWS, LENGTH = 2, 70


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = tiny.build(name)
    opened = open_model(tiny.save(model, tmp_path / "model"))
    recipe = Recipe(keep=("lm_head", "experts"), distil="scales")
    results = results_of(opened, recipe)
    tokens = torch.randint(3, tiny.VOCAB, (WINDOWS, LENGTH), generator=torch.manual_seed(2))

    lesson, student = prepared(opened, recipe, results, tokens, tmp_path)
    found = student.learn(lesson, slice(0, WINDOWS))

    with torch.no_grad():
        original = model(input_ids=tokens).logits.float().log_softmax(-1)
    parameters = dict(model.named_parameters())
    put_rounded(parameters, opened, results)
    answers = model(input_ids=tokens).logits.float().log_softmax(-1)
    loss = (original.exp() * (original - answers)).sum(-1).mean()
    loss.backward()

    assert found == pytest.approx(float(loss.detach()), rel=1e-3)
    compared = 0
    for layer in student.layers:
        for norm_name, norm in layer.norms.items():
            theirs = find(parameters, opened, f"{layer.name}.{norm_name}.weight")
            if theirs is not None:
                weight = theirs.detach()
                factor = weight + 1 if norm.plus_one else weight
                close(norm.change.grad, theirs.grad * factor)
                compared += 1
        for one in layer.result.sites:
            factors = layer.weights[one.site.name].change
            for prefix, start, end in one.site.parts():
                theirs = find(parameters, opened, f"{prefix}.weight")
                if theirs is not None:
                    expected = (theirs.grad * theirs.detach()).unflatten(1, (-1, 16)).sum(-1)
                    assert factors.grad is not None
                    close(factors.grad[start:end], expected)
                    compared += 1
    assert compared >= 3 * len(student.layers)


def close(found: torch.Tensor | None, expected: torch.Tensor) -> None:
    assert found is not None
    assert expected.abs().max() > 1e-7
    assert float((found - expected).norm() / expected.norm()) < 2e-3


def put_rounded(
    parameters: dict[str, Any], opened: OpenedModel, results: list[LayerResult]
) -> None:
    for result in results:
        for one in result.sites:
            values = one.codes.dequantised()
            for prefix, start, end in one.site.parts():
                theirs = find(parameters, opened, f"{prefix}.weight")
                assert theirs is not None, prefix
                theirs.data.copy_(values[start:end])


def find(parameters: dict[str, Any], opened: OpenedModel, name: str) -> Any:
    """Return the parameter of transformers that a canonical name stands for."""
    stored = opened.checkpoint.tensors[name].name.partition("layers.")[2]
    ends = [one for key, one in parameters.items() if key.endswith(f"layers.{stored}")]
    return ends[0] if ends else None


def prepared(
    opened: OpenedModel,
    recipe: Recipe,
    results: list[LayerResult],
    tokens: torch.Tensor,
    folder: Path,
) -> tuple[Lesson, Student]:
    spec, dtype = opened.spec, torch.float32
    samples, length = tokens.shape
    batches = Batches(spec, samples, length, CPU, dtype)
    with open_reader(opened.checkpoint, CPU) as reader:
        before = embedded(reader, spec, tokens, batches, folder)
        after = embedded(reader, spec, tokens, batches, folder)
        for index in range(len(spec.layers)):
            layer = observe_layer(reader, spec, index, frozenset(), dtype, CPU)
            with torch.no_grad():
                for _ in advance(layer, batches, after):
                    pass
        output = load_output(reader, spec, frozenset(), dtype, CPU)
        layers = [
            load_student_layer(reader, spec, result, recipe, dtype, CPU) for result in results[:-1]
        ]
        stored = reader.read("model.norm.weight")
    norm = TrainedNorm.of(stored, output.norm, plus_one=spec.norm.plus_one)
    return Lesson(before, after.hidden, output), Student(layers, norm, output, batches)
