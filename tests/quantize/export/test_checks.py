"""What is looked at before a run begins: one sentence, and nothing is touched."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.hub import find
from localfp4.errors import CheckpointError, UnsupportedModelError, UserError
from localfp4.models.opened import open_model
from localfp4.quantize.export.checks import (
    require_absent,
    require_layout,
    require_sixteen_bits,
    require_space,
    require_weights,
)
from localfp4.quantize.export.finite import finite
from localfp4.quantize.recipe import Precision, Recipe, WeightFormat

PRECISIONS: tuple[Precision, ...] = ("w4a16", "w4a8", "w4a4")


@pytest.mark.parametrize("name", ["ct_qwen3_NVFP4A16", "mo_gpt_oss_NVFP4", "awq", "ct_FP8_BLOCK"])
def test_what_is_quantised_already_is_refused(fixtures: Path, name: str) -> None:
    opened = open_model(find(str(fixtures / name)))
    with pytest.raises(UnsupportedModelError, match=r"the-model is stored as .* name its original"):
        require_sixteen_bits(opened, "the-model")


def test_a_16_bit_model_passes(fixtures: Path) -> None:
    opened = open_model(find(str(fixtures / "m_gpt_oss")))
    require_weights(opened, "m")
    require_sixteen_bits(opened, "m")


def test_a_model_without_weights_is_refused() -> None:
    opened = open_model(find("synthetic:qwen3-8b:1@bf16"))
    with pytest.raises(UnsupportedModelError, match="shapes but no weights"):
        require_weights(opened, "synthetic:qwen3-8b:1@bf16")
    require_sixteen_bits(opened, "synthetic:qwen3-8b:1@bf16")


def test_what_exists_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "empty", "dangling"):
        with pytest.raises(UserError, match=f"{name} exists already; .* Nothing was changed"):
            require_absent(tmp_path / name)
    with pytest.raises(UserError, match="file is no folder that can be written to"):
        require_absent(tmp_path / "file" / "deeper" / "out")
    require_absent(tmp_path / "new" / "deeper" / "out")
    assert sorted(os.listdir(tmp_path)) == ["dangling", "empty", "file"]


def test_space_is_that_of_the_disk_that_will_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> object:
        asked.append(folder)
        return type("Usage", (), {"free": 5_000_000_000})

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_space(tmp_path / "new" / "out", 5_000_000_000)
    with pytest.raises(UserError, match=r"out needs 5\.1 GB, but .* has 5\.0 GB free; make room"):
        require_space(tmp_path / "new" / "out", 5_060_000_000)
    assert asked == [tmp_path] * 2


def test_little_space_is_told_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type("Usage", (), {"free": 0})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(UserError, match=r"out needs 9\.1 MB, but .* has 0\.0 MB free"):
        require_space(tmp_path / "out", 9_100_000)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_no_numbers_are_told(dtype: torch.dtype, bad: float) -> None:
    weight = torch.ones(8, 8, dtype=dtype)
    assert finite(weight, "p.weight") is weight
    assert finite(weight[:0], "p.weight").numel() == 0
    weight[3, 5] = bad
    with pytest.raises(CheckpointError, match=r"p\.weight holds numbers that are not finite"):
        finite(weight, "p.weight")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("mr-gptq", rotation=16), "Rotated weights .* --export fp-quant"),
        (Recipe("mr-gptq", rotation=16, export="modelopt"), "which modelopt files cannot say"),
        (Recipe("gptq", export="fp-quant"), "hold rotated weights; take --method mr-gptq"),
        (
            Recipe("gptq", "w4a8", export="modelopt"),
            "have blocks of 32, and those made here have 16",
        ),
        (Recipe("rtn", "w4a4", "mxfp4", export="modelopt"), "do not say that inputs have 4 bits"),
        (Recipe("gptq", export="modelopt", target_bytes=1), "one for each row"),
        (
            Recipe("mr-gptq", rotation=16, export="fp-quant", target_bytes=1),
            "--target-size mixes several",
        ),
    ],
)
def test_what_a_layout_cannot_say_is_refused(recipe: Recipe, message: str) -> None:
    with pytest.raises(UserError, match=message):
        require_layout(recipe)


def test_every_other_recipe_has_a_layout() -> None:
    formats: tuple[WeightFormat, ...] = ("nvfp4", "mxfp4")
    for precision in PRECISIONS:
        for format in formats:
            require_layout(Recipe("gptq", precision, format))
            require_layout(Recipe("mr-gptq", precision, format, rotation=32, export="fp-quant"))
    require_layout(Recipe("gptq", "w4a4", export="modelopt"))
    require_layout(Recipe("gptq", "w4a8", "mxfp4", export="modelopt"))
