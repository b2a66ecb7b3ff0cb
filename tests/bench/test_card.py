import re
from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest

from localfp4.bench.records import Method, Row, Run, Series, Status
from localfp4.bench.sharing.card import card
from localfp4.bench.sharing.card_facts import Entry, facts
from localfp4.bench.sharing.svg import fitted
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from tests.bench.study_run import (
    BATCH_SWEEP,
    ENVIRONMENT,
    INPUT_SWEEP,
    MODEL,
    figures,
    study_run,
)

SVG = "{http://www.w3.org/2000/svg}"


def written(svg: str) -> list[str]:
    return [text.text or "" for text in Xml.fromstring(svg).iter(f"{SVG}text")]


def row(name: str, batch: int, step_ms: float, repeat: int = 1) -> Row:
    case = Case(batch, 64, 11)
    return Row(
        Series("m", name), case, repeat, "ok", figures=figures(case, 100.0, step_ms),
        peak_memory_bytes=3 * 2**30,
    )  # fmt: skip


def test_a_card_has_the_figures_of_one_cell_and_the_best_throughput() -> None:
    large = Series("m", "bf16")
    misfit = Row(large, Case(1, 64, 11), 0, "does_not_fit", "needs 30 GiB; 20 free")
    rows = (
        misfit,
        row("w4a16", 1, 10),
        row("w4a16", 1, 30, 2),
        row("w4a16", 4, 10),
        row("w4a8", 1, 40),
    )
    known = facts(Run(ENVIRONMENT, Method("", 2, 0, 0), rows=rows))
    bf16, w4a16, w4a8 = known.entries
    assert known.case == Case(1, 64, 11)
    assert bf16 == Entry("bf16", remark="did not fit")
    assert w4a16.decode_tokens_per_s == pytest.approx((1000 / 10 + 1000 / 30) / 2)
    assert (w4a16.ttft_ms, w4a16.peak_memory_bytes) == (100.0, 3 * 2**30)
    assert w4a16.best_tokens_per_s == pytest.approx(44 / 0.2)
    assert (w4a16.best_batch, w4a16.percent_of_limit) == (4, None)
    assert w4a8.decode_tokens_per_s == pytest.approx(25.0)
    assert w4a8.best_tokens_per_s == pytest.approx(11 / 0.5)
    assert w4a8.best_batch == 1
    assert known.fastest == w4a16


def test_the_best_throughput_is_that_of_the_same_prompts() -> None:
    known = facts(study_run(BATCH_SWEEP + INPUT_SWEEP, formats=("w4a16",)))
    # Shorter prompts are faster, but would not compare.
    assert known.entries[0].best_batch == 64
    assert known.entries[0].percent_of_limit == pytest.approx(76, abs=3)


def test_everything_is_written_on_the_card() -> None:
    run = study_run(BATCH_SWEEP, formats=("bf16", "w4a4"))
    abouts = dict(run.abouts)
    asked = Series(MODEL, "w4a4")
    abouts[asked] = replace(abouts[asked], runs="w4a8, since sm_89 has no FP4 tensor cores")
    svg = card(replace(run, abouts=abouts))
    assert {
        "Qwen/Qwen3-8B",
        "NVIDIA GeForce RTX 4090",
        "bf16",
        "15.7 GiB",
        "w4a4: what runs is w4a8, since sm_89 has no FP4 tensor cores",
        "localfp4 0.1.0 · torch 2.13.0 · triton 3.7.1 · driver 580.95.05 · 2026-11-21 15:04 UTC",
        "measured with localfp4 bench",
        "batch 1 · input 1024 · output 128",
    } <= set(written(svg))


@pytest.mark.parametrize(
    "model",
    [
        "<script>alert(1)</script>&amp;\"'",
        "]]><image href='https://example.org/x.png'/>",
        "bells \x07\x1b[31m and \u202ewhistles\ufffe\ud800",
        "模型" * 90,
        "W" * 400,
        "",
    ],
)
def test_odd_names_are_text_and_stay_on_the_card(model: str) -> None:
    rows = tuple(replace(one, series=Series(model, "x" * 90)) for one in [row("", 1, 10)])
    place = replace(ENVIRONMENT, gpu=model)
    svg = card(Run(place, Method("", 1, 0, 0), rows=rows))
    root = Xml.fromstring(svg.encode())
    assert {element.tag for element in root.iter()} == {
        SVG + name for name in ("svg", "title", "rect", "text")
    }
    assert not any("href" in name for element in root.iter() for name in element.attrib)
    assert not re.search(
        r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", card_without_text(svg)
    )
    assert all(len(text) < 130 for text in written(svg))


def card_without_text(svg: str) -> str:
    return re.sub(r">[^<]*<", "><", svg)


def test_more_series_than_there_is_room_for_are_counted() -> None:
    rows = tuple(row(f"f{number}", 1, 10 + number) for number in range(11))
    known = facts(Run(ENVIRONMENT, Method("", 1, 0, 0), rows=rows))
    assert [entry.label for entry in known.entries] == [f"f{number}" for number in range(8)]
    assert known.notes == ("3 more series were measured",)


def test_series_that_cannot_run_are_a_note_and_no_bar() -> None:
    reason = "w4a16 runs instead, since without kernels weights are expanded."
    outcomes: dict[str, Status] = {"w4a8": "replaced", "w4a4": "replaced", "fp8": "failed"}
    absent = [
        Row(Series("m", name), Case(1, 64, 11), 0, status, reason)
        for name, status in outcomes.items()
    ]
    known = facts(Run(ENVIRONMENT, Method("", 1, 0, 0), rows=(row("w4a16", 1, 10), *absent)))
    assert [entry.label for entry in known.entries] == ["w4a16", "fp8"]
    assert known.notes == (f"w4a8, w4a4: {reason}", f"fp8: failed: {reason}")


@pytest.mark.parametrize("words", [5, 30, 400])
def test_notes_are_whole_or_left_to_the_report(words: int) -> None:
    reasons = [f"begin{number} {'word ' * words}end." for number in range(3)]
    absent = [
        Row(Series("m", f"f{number}"), Case(1, 64, 11), 0, "missing", reason)
        for number, reason in enumerate(reasons)
    ]
    svg = card(Run(ENVIRONMENT, Method("", 1, 0, 0), rows=(row("w4a16", 1, 10), *absent)))
    text = " ".join(written(svg))
    whole = sum(" ".join(reason.split()) in text for reason in reasons)
    assert text.count("begin") == text.count("word end.") == whole
    assert {5: 3, 30: 2, 400: 0}[words] == whole
    assert ("in the report" in text) == (whole < 3)
    assert "…" not in text


def test_answers_of_one_token_have_a_card_without_a_decode_speed() -> None:
    svg = card(study_run((Case(4, 64, 1),), formats=("bf16",)))
    assert not any("tok/s decode" in text for text in written(svg))
    assert "—" in written(svg)


def test_text_shrinks_before_its_middle_is_left_out() -> None:
    assert fitted("abc", 20, 100) == ("abc", 20)
    text, size = fitted("a" * 10, 20, 100)
    assert text == "a" * 10
    assert size == pytest.approx(100 / 5.8)
    text, size = fitted("a" * 100, 20, 100)
    assert size == 15
    assert text == "aaaaa…aaaaa"


def test_a_run_without_figures_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to show on a card"):
        card(Run(ENVIRONMENT, Method("", 1, 0, 0)))
