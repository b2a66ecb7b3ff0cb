"""Perplexity and divergence of table models, against the definitions in float64."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from localfp4.errors import EvaluationError
from localfp4.evaluate.against import evaluate_text
from localfp4.evaluate.blocks import BLOCK
from localfp4.evaluate.divergence import kl_divergence
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.records import Items, Result, Subject
from localfp4.evaluate.reference import ReferenceLogits
from localfp4.evaluate.windows import WindowedText, windowed_text
from tests.evaluate.fake_scorer import FakeScorer

TEXT = "the quick brown fox jumps over the lazy dog; " * 40
ORIGINAL, MODEL = Subject("m", "bf16"), Subject("m", "w4a4")


def sorted_out(found: Iterable[Found]) -> tuple[dict[str, Result], dict[str, Items]]:
    events = [*found]
    return (
        {one.metric: one for one in events if isinstance(one, Result)},
        {one.metric: one for one in events if isinstance(one, Items)},
    )


def rows(scorer: FakeScorer, text: WindowedText) -> np.ndarray:
    """Log-probabilities in float64 at every token that counts, and its id behind them."""
    table = scorer.table.double().numpy()
    table = table - np.log(np.exp(table).sum(1, keepdims=True))
    pairs = [
        (window.ids[at - 1], window.ids[at])
        for window in text.windows
        for at in range(window.first, len(window.ids))
    ]
    return np.array([[*table[before], came] for before, came in pairs])


def compared(
    model: FakeScorer, original: FakeScorer, length: int = 64, folder: Path | None = None
) -> tuple[dict[str, Result], dict[str, Items], dict[str, float]]:
    text = windowed_text(original, "fox", TEXT, length)
    with ReferenceLogits(ORIGINAL, text, folder, 0 if folder else None) as reference:
        recorded, _ = sorted_out(reference.record(original))
        results, items = sorted_out(evaluate_text(model, MODEL, text, reference))
    mine, theirs = rows(model, text), rows(original, text)
    came = mine[:, -1].astype(int)
    p, q = theirs[:, :-1], mine[:, :-1]
    here = np.arange(len(came))
    kl = (np.exp(p) * (p - q)).sum(1)
    delta = np.exp(q[here, came]) - np.exp(p[here, came])
    expected = {
        "perplexity": math.exp(-q[here, came].mean()),
        "reference": math.exp(-p[here, came].mean()),
        "perplexity_ratio": math.exp((p - q)[here, came].mean()),
        "kl_divergence_mean": kl.mean(),
        **{
            f"kl_divergence_{name}": np.quantile(kl, share)
            for name, share in {"median": 0.5, "p90": 0.9, "p99_9": 0.999, "max": 1}.items()
        },
        "top_1_agreement": (p.argmax(1) == q.argmax(1)).mean(),
        "delta_p_mean": delta.mean(),
        "delta_p_rms": math.sqrt((delta**2).mean()),
        "kl_stderr": kl.std(ddof=1) / math.sqrt(len(kl)),
    }
    results["reference"] = recorded["perplexity"]
    return results, items, {name: float(value) for name, value in expected.items()}


@pytest.mark.parametrize("start", [None, 129])
def test_perplexity_is_the_definition_in_float64(start: int | None) -> None:
    scorer = FakeScorer(start=start)
    text = windowed_text(scorer, "fox", TEXT, tokens=1000)
    results, items = sorted_out(evaluate_text(scorer, MODEL, text))
    mine = rows(scorer, text)
    nll = -mine[np.arange(len(mine)), mine[:, -1].astype(int)]
    found = results["perplexity"]
    assert found.value == pytest.approx(math.exp(nll.mean()), rel=1e-6)
    error = math.exp(nll.mean()) * nll.std(ddof=1) / math.sqrt(len(nll))
    assert found.stderr == pytest.approx(error, rel=1e-5)
    assert (found.model, found.format, found.task) == ("m", "w4a4", "fox")
    assert np.average(items["nll"].values, weights=items["nll"].weights) == pytest.approx(
        nll.mean(), rel=1e-6
    )


@pytest.mark.parametrize("in_a_file", [False, True])
def test_figures_against_an_original_are_the_definitions(tmp_path: Path, in_a_file: bool) -> None:
    results, items, expected = compared(
        FakeScorer(noise=0.3), FakeScorer(), folder=tmp_path if in_a_file else None
    )
    stderr = expected.pop("kl_stderr")
    for name, value in expected.items():
        # The original's logits are kept in steps of 0.0005; all but divergences is exact.
        close = 3e-4 if "kl" in name else 1e-6
        assert results[name].value == pytest.approx(value, rel=close, abs=1e-7), name
    assert results["kl_divergence_mean"].stderr == pytest.approx(stderr, rel=1e-3)
    assert 0.01 < expected["kl_divergence_mean"] < expected["kl_divergence_max"]
    assert items.keys() == {"nll", "kl_divergence", "top_1_agreement"}
    assert np.average(
        items["kl_divergence"].values, weights=items["kl_divergence"].weights
    ) == pytest.approx(expected["kl_divergence_mean"], rel=1e-3)
    assert not [*tmp_path.iterdir()]


def test_a_model_agrees_with_itself() -> None:
    results, _, _ = compared(FakeScorer(), FakeScorer())
    assert results["top_1_agreement"].value == 1.0
    assert results["perplexity_ratio"].value == 1.0
    assert results["delta_p_rms"].value == 0.0
    assert 0.0 <= results["kl_divergence_max"].value < 1e-6


def test_tokens_without_any_chance_count_nothing_where_both_have_none() -> None:
    model, original = FakeScorer(noise=0.1), FakeScorer()
    padding = slice(128, None)
    for scorer in (model, original):
        scorer.table[:, padding] = -1e4
    hardly, _, _ = compared(model, original)
    for scorer in (model, original):
        scorer.table[:, padding] = -math.inf
    text = windowed_text(original, "fox", TEXT)
    with ReferenceLogits(ORIGINAL, text) as reference:
        [*reference.record(original)]
        never, _ = sorted_out(evaluate_text(model, MODEL, text, reference))
        assert never["kl_divergence_mean"].value == pytest.approx(
            hardly["kl_divergence_mean"].value, rel=1e-6
        )
        model.table[:, 0] = -math.inf
        with pytest.raises(EvaluationError, match="foretells no finite probabilities on fox"):
            [*evaluate_text(model, MODEL, text, reference)]


def test_no_numbers_are_a_sentence() -> None:
    broken = FakeScorer()
    broken.table[:, 5] = math.nan
    text = windowed_text(broken, "fox", TEXT)
    with pytest.raises(EvaluationError, match="m as w4a4 gives tokens of fox no finite"):
        [*evaluate_text(broken, MODEL, text)]
    with pytest.raises(EvaluationError, match="m as bf16 gives tokens of fox no finite"):
        [*ReferenceLogits(ORIGINAL, text).record(broken)]


def test_another_vocabulary_or_tokenizer_is_a_sentence() -> None:
    original = FakeScorer()
    text = windowed_text(original, "fox", TEXT)
    with ReferenceLogits(ORIGINAL, text) as reference:
        [*reference.record(original)]
        with pytest.raises(EvaluationError, match=r"m foretells 130 different tokens, .* 200;"):
            [*evaluate_text(FakeScorer(vocabulary=200), MODEL, text, reference)]
        other = windowed_text(FakeScorer(start=3), "fox", TEXT)
        with pytest.raises(EvaluationError, match="makes other tokens of fox"):
            [*evaluate_text(FakeScorer(start=3), MODEL, other, reference)]


def test_a_full_disk_is_a_sentence_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = windowed_text(FakeScorer(), "fox", TEXT)
    usage = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with (
        ReferenceLogits(ORIGINAL, text, tmp_path, ram_bytes=0) as reference,
        pytest.raises(EvaluationError, match=r"take 0\.0 GB, and .* has 1\.1 GB free; read fewer"),
    ):
        [*reference.record(FakeScorer())]
    assert not [*tmp_path.iterdir()]


def test_progress_counts_windows() -> None:
    scorer = FakeScorer()
    text = windowed_text(scorer, "fox", TEXT)
    with ReferenceLogits(ORIGINAL, text) as reference:
        first = [one for one in reference.record(scorer) if isinstance(one, Progress)]
        second = [
            one
            for one in evaluate_text(scorer, MODEL, text, reference)
            if isinstance(one, Progress)
        ]
    total = len(text.windows)
    assert [one.done for one in first] == [one.done for one in second] == [*range(1, total + 1)]
    assert {one.total for one in first + second} == {total}
    alone = [one for one in evaluate_text(scorer, MODEL, text) if isinstance(one, Progress)]
    assert alone[-1] == Progress("fox", total, total)


def test_items_are_blocks_that_only_the_same_tokens_share() -> None:
    scorer = FakeScorer(context=2 * BLOCK)
    text = windowed_text(scorer, "fox", TEXT, 2 * BLOCK, tokens=3 * BLOCK)
    _, items = sorted_out(evaluate_text(scorer, MODEL, text))
    assert [*items["nll"].weights] == [BLOCK, BLOCK - 1, BLOCK - 1]
    changed = windowed_text(
        scorer, "fox", TEXT[:BLOCK] + "Z" + TEXT[BLOCK + 1 :], 2 * BLOCK, tokens=3 * BLOCK
    )
    _, others = sorted_out(evaluate_text(scorer, MODEL, changed))
    same = [a == b for a, b in zip(items["nll"].ids, others["nll"].ids, strict=True)]
    assert same == [False, False, True]


def test_kl_of_two_coins() -> None:
    fair, bent = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.75, 0.25]]).log()
    # 0.5 ln(0.5 / 0.75) + 0.5 ln(0.5 / 0.25), by hand.
    assert kl_divergence(fair, bent).item() == pytest.approx(0.1438410362, abs=1e-7)
    assert kl_divergence(bent, fair).item() == pytest.approx(0.1308120359, abs=1e-7)
    assert kl_divergence(fair + 3, bent - 2).item() == pytest.approx(0.1438410362, abs=1e-6)
