import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import jsonschema
import pytest

from localfp4.bench.measure import Figures
from localfp4.bench.report import to_json, to_markdown
from localfp4.bench.roofline import Limits, Roofline
from localfp4.bench.sweep import Plan, Row
from localfp4.bench.workload import Case
from localfp4.config import SamplingParams
from localfp4.messages import ModelInfo
from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    LayerSpec,
    MlpSpec,
    NormSpec,
    RopeSpec,
)
from localfp4.models.weight_sizes import WeightSizes
from localfp4.telemetry.environment import Environment

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/bench.json").read_text(encoding="utf-8"))
MODEL = ModelInfo(
    name="org/model",
    family="qwen3",
    parameters=8_000_000,
    weight_format="NVFP4 W4A16",
    kernel_path="torch float32",
    device="cpu",
    dtype="float32",
    max_model_len=1024,
    kv_cache_tokens=1024,
    weight_bytes=32 * 2**20,
    kv_cache_bytes=2**20,
    load_s=0.5,
    has_chat_template=True,
    sampling=SamplingParams(),
    vocab_size=300,
)
HERE = Environment(
    date="2026-11-21 15:04 UTC",
    localfp4="0.1.0",
    python="3.11.7",
    torch="2.13.0",
    triton=None,
    os="Linux 6.1",
    cpu="AMD EPYC",
    cores=2,
    threads=2,
    memory_bytes=2**34,
    gpu=None,
    driver=None,
)
FIGURES = Figures(
    ttft_ms=100.0,
    tpot_ms=10.0,
    e2e_ms=1370.0,
    prefill_tokens_per_s=5120.0,
    decode_tokens_per_s=100.0,
    decode_tokens_per_s_per_user=100.0,
    output_tokens_per_s=93.4,
)
CASE = Case(1, 512, 128)
PLAN = Plan((CASE,), repeats=3)
LAYER = LayerSpec(
    AttentionSpec(heads=4, kv_heads=2, head_dim=16, scale=0.25, rope=RopeSpec(16, 1e4)),
    MlpSpec(64),
)
ROOFLINE = Roofline(
    limits=Limits(copy_gb_per_s=10.0, float32_tflops=0.1),
    spec=DecoderSpec("qwen3", 300, 64, NormSpec(1e-6), 1024, (LAYER, LAYER)),
    sizes=WeightSizes(
        rest=7_000_000, layers=(4_000_000, 4_000_000), experts=(0, 0), looked_up=5_000_000
    ),
    kv_dtype="float32",
)


def ok(repeat: int, ttft_ms: float = 100.0, case: Case = CASE) -> Row:
    figures = replace(FIGURES, ttft_ms=ttft_ms)
    return Row(MODEL, case, repeat, "ok", None, figures, 50 * 2**20, 60 * 2**20)


def refused(reason: str = "too long") -> Row:
    return Row(MODEL, Case(64, 512, 128), 0, "does_not_fit", reason)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [ok(1)],
        [ok(1), ok(2), refused()],
        [ok(1), Row(MODEL, CASE, 2, "failed", "memory ran out")],
        [Row(MODEL, CASE, 1, "ok", None, replace(FIGURES, tpot_ms=None), 1, 1)],
    ],
)
def test_json_follows_the_schema(rows: list[Row]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(to_json(HERE, rows, ROOFLINE)), SCHEMA)


def test_the_schema_is_not_toothless() -> None:
    report = json.loads(to_json(HERE, [ok(1)], ROOFLINE))
    del report["rows"][0]["tpot_ms"]
    with pytest.raises(jsonschema.ValidationError, match="tpot_ms"):
        jsonschema.validate(report, SCHEMA)


def test_json_keeps_every_repeat_and_adds_their_spread() -> None:
    times = [100.0, 110.0, 150.0]
    report = json.loads(to_json(HERE, [ok(n, t) for n, t in enumerate(times, 1)], ROOFLINE))
    assert [row["ttft_ms"] for row in report["rows"]] == times
    (summary,) = report["summary"]
    assert summary["repeats"] == 3
    assert summary["ttft_ms"] == {
        "mean": pytest.approx(fmean(times)),
        "sd": pytest.approx(stdev(times)),
    }


def test_one_repeat_has_no_deviation() -> None:
    (summary,) = json.loads(to_json(HERE, [ok(1)], ROOFLINE))["summary"]
    assert summary["ttft_ms"] == {"mean": 100.0, "sd": None}
    assert "±" not in to_markdown(HERE, PLAN, [ok(1)], ROOFLINE).splitlines()[-1]


def test_markdown_is_one_aligned_table_under_a_header() -> None:
    text = to_markdown(HERE, PLAN, [ok(1, 90.0), refused(), ok(2, 110.0)], ROOFLINE)
    header, table = text.split("\n\n")
    for named in ("org/model", "NVFP4 W4A16", "AMD EPYC", "2 threads", "torch 2.13.0", "0.1.0"):
        assert named in header
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert "100.0 ± 14.1" in lines[2]
    assert "does not fit: too long" in lines[3]


def test_foreign_text_cannot_break_the_table_or_the_terminal() -> None:
    model = replace(MODEL, name="evil\x1b]0;title\x07\nname")
    rows = [replace(ok(1), model=model), replace(refused("a|b\n\x1b[2Jc"), model=model)]
    text = to_markdown(HERE, PLAN, rows, ROOFLINE)
    assert "\x1b" not in text
    assert "title" not in text
    assert "evil name" in text.splitlines()[0]
    assert text.splitlines()[-1].rstrip(" |").endswith(r"a\|b c")


def test_nothing_measured_is_still_a_report() -> None:
    assert json.loads(to_json(HERE, [], ROOFLINE))["rows"] == []
    assert "batch" in to_markdown(HERE, PLAN, [], ROOFLINE)


def test_the_share_of_the_limit_by_hand() -> None:
    """10 MB of weights, since 5 of 15 are looked up, and the keys and values of 576 tokens."""
    read = 10_000_000 + 576 * (2 * 2 * (2 * 16) * 4)
    report = json.loads(to_json(HERE, [ok(1), refused()], ROOFLINE))
    row, other = report["rows"]
    assert row["decode_bytes"] == read
    # 10 GB/s read 10 MB in one millisecond, of the ten that a token took.
    assert row["percent_of_limit"] == pytest.approx(100 * (read / 10e9) / 10e-3)
    assert report["summary"][0]["percent_of_limit"]["mean"] == row["percent_of_limit"]
    assert other["percent_of_limit"] is None
    assert report["limits"]["copy_gb_per_s"] == 10.0


def test_a_heading_tells_the_limits_and_when_they_were_measured() -> None:
    text = to_markdown(HERE, PLAN, [ok(1)], ROOFLINE)
    assert "copy 10 GB/s, float32 products 0.1 TFLOPS" in text
    assert "2026-11-21 15:04 UTC" in text
    assert "fp8" not in text


def test_of_two_measurements_of_a_device_the_better_counts() -> None:
    """Whatever else ran may have disturbed either; what a device lacks stays unknown."""
    first = Limits(10.0, bfloat16_tflops=100.0, fp8_tflops=150.0)
    second = Limits(12.0, bfloat16_tflops=90.0, fp8_tflops=190.0)
    assert first.best(second) == Limits(12.0, bfloat16_tflops=100.0, fp8_tflops=190.0)
