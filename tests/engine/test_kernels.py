"""Whole models through the Triton kernels (interpreted without a GPU), against plain torch."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.kernels import choose_execution, compilation, describe
from localfp4.errors import RequestError, UserError
from localfp4.llm import LLM
from localfp4.messages import ChatMessage
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import load_decoder, outline_decoder
from localfp4.models.opened import open_model
from localfp4.models.size import weight_bytes
from localfp4.runner.rehearsal import rehearse
from localfp4_kernels.launch import Launch
from localfp4_kernels.target import Target
from tests.models import tiny

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []

DENSE, MOE = "ct_qwen3_NVFP4A16", "mo_qwen3_moe_NVFP4_DEFAULT_CFG"
CALIBRATED = "mo_qwen3_NVFP4_DEFAULT_CFG"
GREEDY = SamplingParams(max_tokens=3, temperature=0, ignore_eos=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = "bfloat16" if torch.cuda.is_available() else "float32"
EXACT = 2e-2 if torch.cuda.is_available() else 1e-3
"""Largest relative error of logits through 16-bit kernels; bfloat16 logits alone round by 2e-3."""


def prompt(tokens: int, vocab: int = 200) -> list[int]:
    random = torch.Generator().manual_seed(tokens)
    return torch.randint(3, vocab, (tokens,), generator=random).tolist()


def model(folder: Path, kernels: str, **settings: Any) -> LLM:
    # Chunks make prompts meet their own beginning in the cache.
    sizes = {"max_model_len": 192, "max_step_tokens": 24}
    return LLM(str(folder), kernels=kernels, device=DEVICE, dtype=DTYPE, **(sizes | settings))


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("name", "tokens"),
    # The one goes over the end of a page; interpreted, each token takes a tenth of a second.
    [pytest.param(DENSE, 70, marks=pytest.mark.slow), (MOE, 30)],
)
def test_16_bit_kernels_compute_what_torch_does(fixtures: Path, name: str, tokens: int) -> None:
    ids = prompt(tokens)
    plain, kernels = (
        model(fixtures / name, which, precision="w4a16") for which in ("torch", "triton")
    )
    assert error(kernels.logits(ids), plain.logits(ids)) < EXACT
    prompts = [{"prompt_token_ids": prompt(size)} for size in (3, 9)]
    expected = [answer.token_ids for answer in plain.generate(prompts, GREEDY)]
    answered = [answer.token_ids for answer in kernels.generate(prompts, GREEDY)]
    assert DTYPE == "bfloat16" or answered == expected
    # Codes and scales stay packed; these models are mostly embedding, which is not.
    assert kernels.info.weight_bytes < 0.6 * plain.info.weight_bytes


@pytest.mark.parametrize(
    ("name", "settings", "largest"),
    [
        pytest.param(DENSE, {"precision": "w4a8"}, 0.1, marks=pytest.mark.slow),
        (DENSE, {"precision": "w4a16", "kv_cache_dtype": "fp8"}, 0.05),
        pytest.param(
            CALIBRATED,
            {"precision": "w4a16", "kv_cache_dtype": "fp8-static"},
            0.05,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_narrower_paths_are_taken_and_stay_close(
    fixtures: Path, name: str, settings: dict[str, Any], largest: float
) -> None:
    ids = prompt(28)
    exact = model(fixtures / name, "torch").logits(ids)
    assert 1e-3 < error(model(fixtures / name, "triton", **settings).logits(ids), exact) < largest


def test_weights_can_be_expanded_for_comparison(fixtures: Path) -> None:
    ids = prompt(20)
    plain = model(fixtures / DENSE, "torch")
    expanded = model(fixtures / DENSE, "triton", precision="bf16")
    assert error(expanded.logits(ids), plain.logits(ids)) < EXACT
    assert "weights" in expanded.info.kernel_path


def test_what_runs_is_shown(fixtures: Path) -> None:
    assert model(fixtures / DENSE, "torch").info.kernel_path == f"torch {DTYPE}"
    shown = model(fixtures / MOE, "triton", precision="w4a16").info.kernel_path
    assert shown.endswith("decode w4a16, prefill w4a16")


def test_every_kernel_that_runs_is_shown(fixtures: Path) -> None:
    """FP8 attention comes before NVFP4 feed-forward layers, which run other kernels."""
    opened = open_model(fixtures / "mo_qwen3_MIXED")
    execution = Execution(Target(120, multiprocessors=1))
    outlined = outline_decoder(opened.checkpoint, opened.spec, torch.bfloat16, execution)
    shown = describe(outlined, torch.bfloat16)
    assert shown == "triton sm_120, decode w8a16 + w4a16, prefill w8a8 + w4a4"


@pytest.mark.parametrize(
    ("name", "kv_dtype"),
    [(DENSE, "fp8"), pytest.param(MOE, "auto", marks=pytest.mark.slow)],
)
def test_everything_that_runs_was_rehearsed(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch, name: str, kv_dtype: str
) -> None:
    """Otherwise a kernel would be compiled in the middle of an answer."""
    launched: set[Hashable] = set()
    run = Launch.run

    def spy(launch: Launch) -> None:
        launched.add(launch.specialisation)
        run(launch)

    with monkeypatch.context() as patch:
        patch.setattr(Launch, "run", spy)
        llm = model(fixtures / name, "triton", kv_cache_dtype=kv_dtype, max_batch=3)
        llm.generate([{"prompt_token_ids": prompt(size)} for size in (1, 9, 30)], GREEDY)
    assert len(launched) > 5
    checkpoint = open_checkpoint(fixtures / name)
    spec = decoder_spec(dict(checkpoint.config))
    execution = choose_execution(EngineConfig("", kernels="triton"), torch.device(DEVICE))
    outline = outline_decoder(checkpoint, spec, getattr(torch, DTYPE), execution)
    stored = DTYPE if kv_dtype == "auto" else kv_dtype
    rehearsed = rehearse(outline, stored, max_batch=3, max_step_tokens=24)
    assert launched <= {launch.specialisation for launch in rehearsed}


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("name", ["qwen3_next", "gemma4-small"])
def test_other_layers_run_what_was_rehearsed_and_compute_what_torch_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Those that carry states along, mixtures with a shared expert, shared keys and values."""
    folder = tiny.save(tiny.build(name), tmp_path / "model")
    launched: set[Hashable] = set()
    run = Launch.run

    def spy(launch: Launch) -> None:
        launched.add(launch.specialisation)
        run(launch)

    ids = prompt(70, tiny.VOCAB)
    plain = model(folder, "torch", max_step_tokens=48)
    with monkeypatch.context() as patch:
        patch.setattr(Launch, "run", spy)
        kernels = model(folder, "triton", max_batch=3, max_step_tokens=48)
        assert error(kernels.logits(ids), plain.logits(ids)) < EXACT
        prompts = [{"prompt_token_ids": prompt(size, tiny.VOCAB)} for size in (9, 70, 70)]
        answers = [answer.token_ids for answer in kernels.generate(prompts, GREEDY)]
    assert DTYPE == "bfloat16" or answers == [
        answer.token_ids for answer in plain.generate(prompts, GREEDY)
    ]
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    execution = choose_execution(EngineConfig("", kernels="triton"), torch.device(DEVICE))
    outline = outline_decoder(
        text_part(checkpoint, renames(settings)).checkpoint,
        decoder_spec(settings),
        getattr(torch, DTYPE),
        execution,
    )
    rehearsed = rehearse(outline, DTYPE, max_batch=3, max_step_tokens=48)
    assert launched <= {launch.specialisation for launch in rehearsed}


@pytest.mark.parametrize("name", [DENSE, MOE, "m_qwen3_moe"])
def test_an_outline_is_as_large_as_the_model(fixtures: Path, name: str) -> None:
    checkpoint = open_checkpoint(fixtures / name)
    spec = decoder_spec(dict(checkpoint.config))
    execution = choose_execution(EngineConfig("", kernels="triton"), torch.device(DEVICE))
    dtype = getattr(torch, DTYPE)
    outline = outline_decoder(checkpoint, spec, dtype, execution)
    loading = load_decoder(
        checkpoint, spec, dtype, torch.device("cuda:0" if DEVICE == "cuda" else "cpu"), execution
    )
    try:
        while True:
            next(loading)
    except StopIteration as finished:
        decoder = finished.value
    head_copy = weight_bytes(decoder.head) - weight_bytes(outline.head)
    assert outline.nbytes == decoder.nbytes - head_copy


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"kernels": "torch", "precision": "w4a8"}, "w4a8 needs a GPU"),
        ({"kernels": "torch", "precision": "w4a4"}, "w4a4 needs a GPU"),
        ({"kernels": "torch", "kv_cache_dtype": "fp8"}, "fp8 KV cache needs a GPU"),
        ({"kernels": "torch", "kv_cache_dtype": "fp8-static"}, "fp8 KV cache needs a GPU"),
    ],
)
def test_what_torch_cannot_do_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=why):
        choose_execution(EngineConfig("demo", **settings), torch.device("cpu"))


def test_a_width_that_some_weights_cannot_run_is_refused_at_load(fixtures: Path) -> None:
    with pytest.raises(RequestError, match=r"^Precision w4a8 cannot run on .*; use auto or w4a16"):
        model(fixtures / "ct_W4A16", "triton", precision="w4a8")


def test_without_a_gpu_and_the_interpreter_kernels_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localfp4_kernels.device.interpreted", lambda: False)
    with pytest.raises(RequestError, match="--kernels torch runs without them"):
        choose_execution(EngineConfig("demo", kernels="triton"), torch.device("cpu"))


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "localfp4_kernels.device", None)
    with pytest.raises(RequestError, match="pip install triton"):
        choose_execution(EngineConfig("demo", kernels="triton"), torch.device("cpu"))


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton builds its launcher at first use, and would end with a traceback."""
    monkeypatch.setattr("localfp4_kernels.device.target_of", lambda device: Target(89, 128))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RequestError, match="apt install gcc"):
        choose_execution(EngineConfig("demo"), torch.device("cuda"))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": "/nowhere"})
    with pytest.raises(RequestError, match="python3-dev"):
        choose_execution(EngineConfig("demo"), torch.device("cuda"))


def test_a_precision_that_the_card_lacks_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localfp4_kernels.device.target_of", lambda device: Target(89, 128))
    with pytest.raises(RequestError, match="no FP4 tensor cores"):
        choose_execution(EngineConfig("demo", precision="w4a4"), torch.device("cuda"))


def test_a_kernel_that_cannot_be_prepared_is_told_in_a_sentence(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_checkpoint(fixtures / DENSE)
    spec = decoder_spec(dict(checkpoint.config))
    outline = outline_decoder(checkpoint, spec, torch.bfloat16, Execution(Target(89, 128)))

    def fail(*_: object) -> None:
        raise RuntimeError("ptxas died\nat length")

    monkeypatch.setattr("localfp4.runner.rehearsal.rehearse", fail)
    with (
        pytest.raises(UserError, match=r"sm_89 could not be prepared \(ptxas died\); .*torch"),
        compilation([outline], "bfloat16", EngineConfig("demo"), torch.device("cuda")),
    ):
        pass


@pytest.mark.slow
def test_the_demo_answers_the_same_through_the_kernels(demo_folder: Path) -> None:
    messages: list[ChatMessage] = [{"role": "user", "content": "What is NVFP4?"}]
    sampling = SamplingParams(max_tokens=8, temperature=0)
    answers = [
        LLM(str(demo_folder), kernels=kernels, precision="w4a16", max_model_len=128)
        .chat(messages, sampling)[0]
        .token_ids
        for kernels in ("torch", "triton")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 8
