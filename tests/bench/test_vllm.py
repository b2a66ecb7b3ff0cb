"""vLLM as a contestant, against a fake of what is used of it."""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.vllm import Vllm, _of_gpu, load
from localfp4.bench.workload import Case, requests

CASE = Case(batch=2, input_tokens=6, output_tokens=3)


class Kind(Enum):
    CUMULATIVE, DELTA, FINAL_ONLY = range(3)


@dataclass
class FakeEngine:
    """Two tokens a step where it is told to speculate, else one; the first step brings none."""

    arguments: Any
    speculates: bool = False
    stops_early: bool = False
    left: dict[str, int] = field(default_factory=dict)
    prompts: list[Any] = field(default_factory=list)
    sampling: Any = None
    is_shut_down: bool = False
    aborted: list[str] = field(default_factory=list)
    is_first: bool = True

    def __post_init__(self) -> None:
        self.model_config = SimpleNamespace(
            hf_config=SimpleNamespace(model_type="llama"),
            quantization="modelopt_fp4",
            dtype="torch.bfloat16",
            max_model_len=self.arguments.max_model_len,
            get_vocab_size=lambda: 90,
        )
        self.engine_core = SimpleNamespace(shutdown=self._shut_down)

    def add_request(self, name: str, prompt: Any, sampling: Any) -> str:
        self.left[name] = sampling.max_tokens - self.stops_early
        self.prompts.append(prompt)
        self.sampling = sampling
        return name

    def has_unfinished_requests(self) -> bool:
        return any(self.left.values())

    def abort_request(self, names: list[str]) -> None:
        self.aborted += names

    def step(self) -> list[Any]:
        if self.is_first:
            self.is_first = False
            return []
        return [self._output(name) for name, left in self.left.items() if left]

    def _output(self, name: str) -> Any:
        count = min(1 + self.speculates, self.left[name])
        self.left[name] -= count
        return SimpleNamespace(request_id=name, outputs=[SimpleNamespace(token_ids=[1] * count)])

    def _shut_down(self) -> None:
        self.is_shut_down = True


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake: Any = ModuleType("vllm")
    fake.__version__ = "0.33.0"
    fake.EngineArgs = SimpleNamespace
    fake.SamplingParams = SimpleNamespace
    fake.LLMEngine = SimpleNamespace(from_engine_args=FakeEngine)
    sampling: Any = ModuleType("vllm.sampling_params")
    sampling.RequestOutputKind = Kind
    platforms: Any = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(device_type="cpu")
    for name, one in {"": fake, ".sampling_params": sampling, ".platforms": platforms}.items():
        monkeypatch.setitem(sys.modules, f"vllm{name}", one)
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_LOGGING_LEVEL", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "0")
    return fake


def loaded(loading: Loading) -> Vllm:
    while True:
        try:
            next(loading)
        except StopIteration as end:
            contestant: Vllm = end.value
            return contestant


def contestant(cases: Sequence[Case] = (CASE,)) -> Vllm:
    found = loaded(load("folder", "auto", "cpu", threads=1, cases=cases))
    ticks = itertools.count()
    found.clock = lambda: float(next(ticks))
    return found


@pytest.mark.usefixtures("module")
def test_tokens_come_with_the_steps_that_bring_them() -> None:
    vllm = contestant()
    measured = vllm.run(CASE, "0 1")
    assert {name: list(times) for name, times in measured.arrivals.items()} == {
        "bench-0": [2, 3, 4],
        "bench-1": [2, 3, 4],
    }
    assert measured.prompt_tokens == 12
    engine = vllm.engine
    drawn = requests(CASE, 90, Random("0 1"))
    assert engine.prompts == [{"prompt_token_ids": list(r.token_ids or ())} for r in drawn]
    assert engine.sampling.ignore_eos
    assert (engine.sampling.temperature, engine.sampling.max_tokens) == (0, 3)
    assert engine.sampling.output_kind is Kind.DELTA
    assert engine.sampling.detokenize is False


@pytest.mark.usefixtures("module")
def test_it_has_room_for_the_largest_case_and_keeps_no_prompts() -> None:
    arguments = contestant((Case(1, 100, 28), Case(16, 10, 10))).engine.arguments
    assert (arguments.max_model_len, arguments.max_num_seqs) == (128, 16)
    assert arguments.enable_prefix_caching is False
    assert arguments.model == "folder"


@pytest.mark.usefixtures("module")
def test_what_was_loaded_is_told() -> None:
    vllm = contestant()
    about = vllm.about
    assert (about.version, about.family, about.vocab_size) == ("0.33.0", "llama", 90)
    assert (about.weight_format, about.dtype) == ("modelopt_fp4", "bfloat16")
    engine = vllm.engine
    vllm.close()
    vllm.close()
    assert engine.is_shut_down


@pytest.mark.usefixtures("module")
def test_guessed_tokens_come_together() -> None:
    vllm = contestant()
    vllm.engine.speculates = True
    assert list(vllm.run(CASE, "0").arrivals["bench-0"]) == [2, 2, 3]


@pytest.mark.usefixtures("module")
def test_what_it_cannot_do_is_a_sentence() -> None:
    vllm = contestant()
    with pytest.raises(CaseFailedError, match=r"off in vLLM here\.$") as depth:
        vllm.run(Case(1, 1, 1, depth=64), "0")
    assert depth.value.status == "unsupported"
    with pytest.raises(CaseFailedError, match=r"^10 tokens exceed the context of 9$") as long:
        vllm.run(Case(1, 9, 1), "0")
    assert long.value.status == "does_not_fit"
    vllm.engine.stops_early = True
    with pytest.raises(CaseFailedError, match=r"^An answer has 2 tokens instead of 3\.$"):
        vllm.run(CASE, "0")
    assert vllm.engine.aborted == ["bench-0", "bench-1"]


def test_a_build_for_another_device_is_a_sentence(module: Any) -> None:
    sys.modules["vllm.platforms"].current_platform.device_type = "cuda"
    with pytest.raises(CaseFailedError, match=r"This build of vLLM runs on cuda, not on cpu\."):
        contestant()

    def broken(arguments: Any) -> Any:
        raise ValueError("model type nobody-knows")

    sys.modules["vllm.platforms"].current_platform.device_type = "cpu"
    module.LLMEngine.from_engine_args = broken
    with pytest.raises(CaseFailedError, match=r"^vLLM failed to load the model: ValueError: model"):
        contestant()


def test_no_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(CaseFailedError, match=r"^vLLM is not installed") as missing:
        contestant()
    assert missing.value.status == "missing"


@pytest.mark.usefixtures("module")
def test_a_case_beyond_the_model_costs_none_of_the_others() -> None:
    """vLLM does not load at all for a longer context than the model has."""
    cases = CASE, Case(1, 100, 28)
    vllm = loaded(load("folder", "auto", "cpu", threads=1, cases=cases, most=64))
    assert vllm.engine.arguments.max_model_len == 64
    with pytest.raises(CaseFailedError, match="exceed the context of 64") as long:
        vllm.run(cases[1], "0")
    assert long.value.status == "does_not_fit"
    assert vllm.run(CASE, "0").arrivals


@pytest.mark.parametrize(
    ("index", "free", "arguments"),
    [
        (0, 15.9, {"gpu_memory_utilization": 0.9}),
        (1, 8.0, {"gpu_memory_utilization": 0.48, "device_ids": [1]}),
    ],
)
def test_beside_a_desktop_it_asks_for_what_is_free(
    monkeypatch: pytest.MonkeyPatch, index: int, free: float, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 16.0))
    assert _of_gpu(torch.device("cuda", index)) == arguments
