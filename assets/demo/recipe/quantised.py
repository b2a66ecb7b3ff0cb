"""The shipped form of the demo: its BF16 original, quantised as any user would do it.

    localfp4 quantize assets/demo/bf16 --replay --calibration CONVERSATIONS --length 512

The result is compressed-tensors `nvfp4-pack-quantized`, W4A16: every linear layer in 4 bits,
embeddings and norms in BF16.
"""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

from localfp4.quantize.job import Job
from localfp4.quantize.recipe import CalibrationSource, Recipe, Rounding
from localfp4.quantize.run import quantise
from recipe.corpus import conversations

SEED, CONVERSATIONS = 61, 3000
FILES = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)


def write_quantised(folder: Path, workdir: Path, threads: int) -> None:
    """Write `folder/localfp4_demo` from `folder/bf16`.

    It is calibrated with conversations as it was trained with, since it knows no other text.
    """
    text = workdir / "calibration.jsonl"
    spoken = islice(conversations(SEED), CONVERSATIONS)
    lines = (json.dumps({"messages": messages}) for messages in spoken)
    text.write_text("\n".join(lines) + "\n", "utf-8")
    made = workdir / "localfp4_demo"
    shutil.rmtree(made, ignore_errors=True)
    recipe = Recipe(
        rounding=Rounding(replay=True), calibration=CalibrationSource(str(text), length=512)
    )
    for _ in quantise(Job("assets/demo/bf16", folder / "bf16", recipe, made, "cpu", threads)):
        pass
    target = folder / "localfp4_demo"
    target.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(made / name, target / name)
    (target / "__init__.py").write_text(
        '"""The bundled demo model, kept as package data: an NVFP4 checkpoint."""\n', "utf-8"
    )
