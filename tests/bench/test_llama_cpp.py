"""llama.cpp as a contestant: how steps are filled, against a fake of its bindings and for real."""

import itertools
import sys
from pathlib import Path
from random import Random

import pytest

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.llama_cpp import LlamaCpp, load
from localfp4.bench.workload import Case, requests
from tests.bench.fake_llama import VOCAB, FakeLlama
from tests.bench.test_gguf_file import ARCHITECTURE, SIZES, gguf, number


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLlama:
    module = FakeLlama()
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    return module


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(ARCHITECTURE, *SIZES, number("general.file_type", 2)))
    return str(path)


def loaded(loading: Loading) -> LlamaCpp:
    while True:
        try:
            next(loading)
        except StopIteration as end:
            contestant: LlamaCpp = end.value
            return contestant


def test_a_step_decodes_what_is_prefilled_and_fills_up_with_prompts(
    fake: FakeLlama, file: str
) -> None:
    contestant = loaded(load(file, "cpu", threads=3))
    ticks = itertools.count()
    contestant.clock = lambda: float(next(ticks))
    case = Case(batch=3, input_tokens=5, output_tokens=3)
    measured = contestant.run(case, "0 1")

    prompts = [request.token_ids or () for request in requests(case, VOCAB, Random("0 1"))]
    first, second, third, fourth = fake.answering()
    # Eight tokens a step: a prompt of five, and three of the next.
    assert [f[:3] for f in first] == [(t, n, 0) for n, t in enumerate(prompts[0])] + [
        (t, n, 1) for n, t in enumerate(prompts[1][:3])
    ]
    assert [f[3] for f in first] == [False] * 4 + [True] + [False] * 3
    # The newest token of the first, then the rest of the second, then the third.
    assert second[0] == ((prompts[0][-1] + 1) % VOCAB, 5, 0, True)
    assert [(f[2], f[1]) for f in second[1:]] == [(1, 3), (1, 4)] + [(2, n) for n in range(5)]
    assert [f[2] for f in third] == [0, 1, 2]
    assert third[0][0] == (prompts[0][-1] + 2) % VOCAB
    # The first has its three tokens, and its last is never fed back.
    assert [f[2] for f in fourth] == [1, 2]
    assert {name: list(times) for name, times in measured.arrivals.items()} == {
        "bench-0": [1, 2, 3],
        "bench-1": [2, 3, 4],
        "bench-2": [2, 3, 4],
    }
    assert measured.prompt_tokens == 15
    assert measured.memory_bytes


def test_contexts_are_apart_and_of_the_size_of_the_case(fake: FakeLlama, file: str) -> None:
    contestant = loaded(load(file, "cpu", threads=3))
    case = Case(batch=2, input_tokens=250, output_tokens=7)
    for _ in range(2):
        contestant.run(case, "0")
    contestant.run(Case(1, 2, 2), "0")
    contestant.close()
    contestant.close()
    two, one = fake.contexts
    assert (two.n_ctx, two.n_seq_max, two.n_threads, two.n_threads_batch) == (1024, 2, 3, 3)
    assert (one.n_ctx, one.n_seq_max) == (256, 1)
    assert not two.kv_unified
    assert two.swa_full is False
    assert fake.freed == ["context", "context", "model"]
    assert fake.parameters.n_gpu_layers == 0


def test_a_depth_is_computed_before(fake: FakeLlama, file: str) -> None:
    fake.step_tokens = 64
    contestant = loaded(load(file, "cpu", threads=1))
    case = Case(batch=2, input_tokens=2, output_tokens=1, depth=64)
    measured = contestant.run(case, "0")
    *before, last = fake.answering()
    assert sum(map(len, before)) == 128
    assert not any(answers for step in before for *_, answers in step)
    assert [(sequence, position) for _, position, sequence, _ in last] == [
        (0, 64),
        (0, 65),
        (1, 64),
        (1, 65),
    ]
    assert measured.prompt_tokens == 4


def test_what_was_loaded_is_told(fake: FakeLlama, file: str) -> None:
    about = loaded(load(file, None, threads=1)).about
    assert (about.version, about.family, about.weight_format) == ("0.3.99", "llama", "Q4_0")
    assert (about.parameters, about.weight_bytes, about.vocab_size) == (1000, 562, VOCAB)
    assert (about.device, about.kernel_path) == ("cpu", "ggml on the CPU: AVX2 FMA")
    assert [note for note in about.notes if "activations to 8 bits" in note]


def test_what_cannot_run_is_a_sentence(fake: FakeLlama, file: str) -> None:
    contestant = loaded(load(file, "cpu", threads=1))
    with pytest.raises(CaseFailedError, match=r"^301 tokens exceed the context of 300") as long:
        contestant.run(Case(1, 300, 1), "0")
    assert long.value.status == "does_not_fit"
    fake.fails_at = 3
    with pytest.raises(CaseFailedError, match=r"^llama\.cpp failed: llama_decode returned 1\.$"):
        contestant.run(Case(1, 4, 8), "0")
    fake.fails_at = None
    assert len(contestant.run(Case(1, 4, 8), "0").arrivals["bench-0"]) == 8


def test_what_cannot_be_loaded_is_a_sentence(fake: FakeLlama, file: str) -> None:
    with pytest.raises(CaseFailedError, match=r"runs on CPUs only\.$") as no_gpu:
        loaded(load(file, "cuda", threads=1))
    assert no_gpu.value.status == "unsupported"
    fake.loads = False
    with pytest.raises(CaseFailedError, match=r"cannot load .*: unknown model architecture: 'new'"):
        loaded(load(file, "cpu", threads=1))


def test_bindings_of_another_age_are_a_sentence(
    fake: FakeLlama, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FakeLlama, "llama_memory_clear")
    with pytest.raises(CaseFailedError, match=r"^llama-cpp-python 0\.3\.99 is too old"):
        loaded(load(file, "cpu", threads=1))


def test_no_bindings_are_a_sentence(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(CaseFailedError, match=r"^llama-cpp-python is not installed") as missing:
        loaded(load(file, "cpu", threads=1))
    assert missing.value.status == "missing"
