"""Plans for this computer, against the plans of ``localfp4 fit``."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from localfp4.backend import fits as module
from localfp4.backend.fits import Fits
from localfp4.checkpoint.hub import find
from localfp4.config import EngineConfig
from localfp4.errors import ModelNotFoundError, RequestError, UserError
from localfp4.models import here
from localfp4.models.forecast import forecast
from localfp4.reports import Choice
from localfp4.telemetry.gpus import Gpu

GIB = 2**30
MOE = "synthetic:qwen3-30b-a3b:8"
DENSE = "synthetic:qwen3-8b"


def card(free: float, total: float = 12) -> Gpu:
    name = "NVIDIA GeForce RTX 4070"
    return Gpu(name, "GPU-1", int(total * GIB), int(free * GIB), 89, drives_display=False)


@pytest.fixture
def on_card(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(free: float, total: float = 12) -> None:
        monkeypatch.setattr(here, "gpus", lambda: [card(free, total)])

    return put


def test_the_plan_is_that_of_the_command(on_card: Any) -> None:
    on_card(11)
    fit = Fits(EngineConfig("demo")).fit(Choice(DENSE, context=8192))
    config = EngineConfig(DENSE, max_model_len=8192)
    plan = forecast(config, find(DENSE), here.machine_here(None)[1]).plan
    assert fit.fits
    assert fit.is_whole
    assert fit.device == "GeForce RTX 4070"
    assert fit.context_tokens == 8192
    rows = {row.what: row.size_bytes for row in fit.rows}
    assert rows["weights"] == pytest.approx(plan.weight_bytes, rel=0.01)
    assert sum(rows.values()) == fit.free_bytes
    assert fit.expected_tokens_per_s == pytest.approx(plan.expected_tokens_per_s, rel=0.02)


def test_what_the_loaded_engine_holds_counts_as_free(on_card: Any) -> None:
    on_card(3)
    fits = Fits(EngineConfig("demo"))
    assert not fits.fit(Choice(DENSE, context=32768)).fits
    whole = fits.fit(Choice(DENSE, context=32768), held_bytes=8 * GIB)
    assert whole.fits
    assert whole.free_bytes == 11 * GIB


def test_what_does_not_fit_says_why(on_card: Any) -> None:
    on_card(11)
    fit = Fits(EngineConfig("demo")).fit(Choice(DENSE, context=40960 * 4))
    assert not fit.fits
    assert "40960" in fit.reason
    assert fit.rows == ()
    assert fit.model_context_tokens == 40960


def test_a_mixture_lies_partly_in_main_memory(on_card: Any) -> None:
    on_card(3.6)
    fit = Fits(EngineConfig("demo")).fit(Choice(MOE))
    assert fit.fits
    assert not fit.is_whole
    assert any("more on the card" in line for line in fit.advice)


def test_while_a_slider_moves_a_model_is_opened_and_weighed_once(
    on_card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_card(11)
    asked: list[str] = []
    for name in ("candidate", "weigh", "machine_here"):
        told = _telling(asked, name, getattr(module, name))
        monkeypatch.setattr(module, name, told)
    monkeypatch.setattr(module, "monotonic", lambda: 7.0)
    fits = Fits(EngineConfig("demo"))
    tokens = {fits.fit(Choice(DENSE, context=1024 * step)).context_tokens for step in range(1, 9)}
    assert len(tokens) == 8
    assert sorted(asked) == ["candidate", "machine_here", "weigh"]


def _telling(asked: list[str], name: str, function: Any) -> Any:
    def told(*given: Any, **options: Any) -> Any:
        asked.append(name)
        return function(*given, **options)

    return told


def test_who_waits_for_the_hub_keeps_no_one_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = Fits(EngineConfig("demo", device="cpu"))
    is_asked, answers = Event(), Event()

    def slow(name: str) -> Any:
        if name == "demo":
            return find(name)
        is_asked.set()
        assert answers.wait(60)
        raise ModelNotFoundError("The hub has no such model.")

    monkeypatch.setattr(module, "look_quietly", slow)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(fits.fit, Choice("org/model"))
        assert is_asked.wait(60)
        try:
            assert threads.submit(fits.fit, Choice("demo")).result(timeout=60).fits
            assert threads.submit(fits.describe, "demo").result(timeout=60).family == "qwen3"
        finally:
            answers.set()
        with pytest.raises(ModelNotFoundError, match="no such model"):
            waiting.result(timeout=60)


def test_a_model_is_described_from_its_headers() -> None:
    facts = Fits(EngineConfig("demo")).describe("demo")
    assert (facts.family, facts.weight_format) == ("qwen3", "NVFP4 W4A16")
    assert facts.parameters == 7_459_648
    assert facts.context_tokens == 1024


def test_a_model_that_is_removed_is_noticed(fixtures: Path, tmp_path: Path) -> None:
    shutil.copytree(fixtures / "m_qwen3", tmp_path / "mine")
    fits = Fits(EngineConfig("demo", device="cpu"))
    name = str(tmp_path / "mine")
    assert fits.fit(Choice(name)).fits
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(UserError, match="mine"):
        fits.fit(Choice(name))
    with pytest.raises(UserError, match="mine"):
        fits.describe(name)


def test_what_is_not_here_and_what_is_no_setting_is_told() -> None:
    fits = Fits(EngineConfig("demo", device="cpu"))
    with pytest.raises(UserError, match="org/model is not on this computer yet"):
        fits.describe("org/model")
    with pytest.raises(UserError, match="org/model is not in the local cache, and HF_HUB_OFFLINE"):
        fits.fit(Choice("org/model"))
    with pytest.raises(RequestError, match="precision must be one of"):
        fits.fit(Choice("demo", precision="w2a2"))
    with pytest.raises(RequestError, match="max_model_len"):
        fits.fit(Choice("demo", context=0))
