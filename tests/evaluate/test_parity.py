"""Figures of the demo as localfp4 runs it, against transformers' logits in float64."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4 import LLM
from localfp4.evaluate.against import evaluate_text
from localfp4.evaluate.events import Found
from localfp4.evaluate.long_context import answer_long_contexts
from localfp4.evaluate.multi_hop import multi_hops
from localfp4.evaluate.needle import needles
from localfp4.evaluate.records import Result, Subject
from localfp4.evaluate.reference import ReferenceLogits
from localfp4.evaluate.windows import WindowedText, windowed_text

DEMO = Path(__file__).parents[2] / "assets/demo"
ORIGINAL, MODEL = Subject("demo", "bf16"), Subject("demo", "w4a16")

pytestmark = [pytest.mark.slow, pytest.mark.parity]


@pytest.fixture(scope="module")
def original() -> Iterator[LLM]:
    with LLM(str(DEMO / "bf16"), device="cpu", dtype="float32", max_model_len=512) as llm:
        yield llm


@pytest.fixture(scope="module")
def text(original: LLM) -> WindowedText:
    held_out = (DEMO / "heldout.txt").read_text(encoding="utf-8")
    return windowed_text(original.scorer(), "held-out", held_out, 64, tokens=256)


def figures(found: Iterator[Found]) -> dict[str, float]:
    return {one.metric: one.value for one in found if isinstance(one, Result)}


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original with its matrices rounded to E4M3, still stored as BF16 so that all agree."""
    folder: Path = tmp_path_factory.mktemp("demo") / "rounded"
    shutil.copytree(DEMO / "bf16", folder)
    tensors = load_file(folder / "model.safetensors")
    narrow = {
        name: one.to(torch.float8_e4m3fn).to(torch.bfloat16) if one.dim() == 2 else one
        for name, one in tensors.items()
    }
    save_file(narrow, folder / "model.safetensors", {"format": "pt"})
    return folder


def expected(folder: Path, text: WindowedText) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of transformers at the tokens that count, and those tokens."""
    transformers: Any = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows: list[np.ndarray] = []
    came: list[int] = []
    for window in text.windows:
        with torch.no_grad():
            logits = model(torch.tensor([window.ids])).logits[0].double()
        rows.append(window.predictions(logits).log_softmax(-1).numpy())
        came += window.targets
    return np.concatenate(rows), np.array(came)


def test_perplexity_and_divergence_are_those_of_transformers(
    original: LLM, text: WindowedText, rounded: Path
) -> None:
    with (
        ReferenceLogits(ORIGINAL, text) as reference,
        LLM(str(rounded), device="cpu", dtype="float32", max_model_len=512) as llm,
    ):
        before = figures(reference.record(original.scorer()))
        after = figures(evaluate_text(llm.scorer(), MODEL, text, reference))
        alone = figures(evaluate_text(llm.scorer(), MODEL, text))
    p, came = expected(DEMO / "bf16", text)
    q, _ = expected(rounded, text)
    here = np.arange(len(came))
    kl = (np.exp(p) * (p - q)).sum(1)
    assert before["perplexity"] == pytest.approx(math.exp(-p[here, came].mean()), rel=1e-4)
    assert after["perplexity"] == pytest.approx(math.exp(-q[here, came].mean()), rel=1e-4)
    assert alone["perplexity"] == pytest.approx(after["perplexity"], rel=1e-5)
    assert after["kl_divergence_mean"] == pytest.approx(kl.mean(), rel=1e-3)
    assert after["kl_divergence_p99"] == pytest.approx(np.quantile(kl, 0.99), rel=1e-2)
    assert after["kl_divergence_mean"] > 1e-4
    same = (p.argmax(1) == q.argmax(1)).mean()
    assert after["top_1_agreement"] == pytest.approx(same, abs=1.5 / len(came))


def test_long_contexts_are_asked_of_a_real_model(original: LLM) -> None:
    scorer = original.scorer()
    contexts = [*needles(scorer, [320], [0.5], each=1), *multi_hops(scorer, [440], 1, each=1)]
    found = figures(answer_long_contexts(scorer, MODEL, "needle", contexts))
    assert 0.0 <= found["accuracy"] <= 1.0
