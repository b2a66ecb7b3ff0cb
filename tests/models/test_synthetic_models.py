"""Synthetic models of every family through the whole engine, made narrow to fit a test."""

from contextlib import closing

import pytest
import torch

from localfp4.checkpoint.synthetic.catalogue import CATALOGUE, Published
from localfp4.checkpoint.synthetic.model import synthetic_model
from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.engine import Engine, load_engine
from localfp4.messages import Delta, Request
from localfp4.models.execution import TORCH
from localfp4.models.load import outline_decoder
from localfp4.models.opened import open_model
from localfp4.models.report import report
from localfp4.runner.work import Collect
from tests.bench.narrow import make_narrow

PROMPT = tuple(range(5, 37))


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    make_narrow(monkeypatch)


def loaded(model: str, rounding: str | None) -> Engine:
    config = EngineConfig(
        model,
        device="cpu",
        threads=1,
        max_model_len=256,
        kv_cache_tokens=256,
        max_batch=1,
        rounding=rounding,
    )
    steps = load_engine(config)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            engine: Engine = end.value
            return engine


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize(
    ("name", "rounding"),
    [
        *((f"{name}:6", None) for name in CATALOGUE),
        ("gpt-oss-20b:2@bf16", None),
        ("gpt-oss-20b:2@bf16", "mxfp4"),
        ("qwen3.6-35b-a3b:4@bf16", "nvfp4"),
    ],
)
def test_numbers_are_finite_and_depend_on_the_input(name: str, rounding: str | None) -> None:
    with closing(loaded(f"synthetic:{name}", rounding)) as engine:
        assert engine.info.notes == ()
        request = Request("all", token_ids=PROMPT, sampling=SamplingParams(max_tokens=1))
        engine.add(request, Collect.LOGITS)
        while engine.has_work():
            engine.step()
        [collected] = engine.take_collected("all")
        greedy = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        engine.add(Request("some", token_ids=PROMPT, sampling=greedy))
        events = []
        while engine.has_work():
            events += engine.step()
    logits = collected.logits
    assert logits is not None
    assert logits.isfinite().all()
    # 0.02 for each of 128 inputs of about one.
    assert 0.1 < logits.std() < 0.5
    assert torch.unique(logits, dim=0).shape == logits.shape
    assert sum(len(e.token_ids) for e in events if isinstance(e, Delta)) == 4


@pytest.mark.parametrize("name", ["qwen3-8b", "gemma3-27b", "qwen3-30b-a3b", "gpt-oss-20b"])
def test_a_whole_model_is_described_from_its_headers(name: str) -> None:
    published: Published = CATALOGUE[name]
    text = published.config.get("text_config", published.config)
    found = report(synthetic_model(name))
    assert len(found.spec.layers) == text["num_hidden_layers"]
    assert found.left_out == ()
    assert found.file_bytes > 6e9


@pytest.mark.parametrize("name", ["qwen3.6-27b:1", "qwen3.6-35b-a3b:1"])
def test_the_head_for_multi_token_prediction_is_there(name: str) -> None:
    model = open_model(synthetic_model(name))
    outline = outline_decoder(model.checkpoint, model.spec, torch.bfloat16, TORCH)
    assert outline.mtp is not None
    assert len(outline.mtp.layers) == 1
