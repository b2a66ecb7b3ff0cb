"""The memory plan against numbers worked out by hand and against transformers' own counts."""

from dataclasses import replace
from pathlib import Path

import pytest

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.parameters import parameter_count
from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.errors import ContextError
from localfp4.models.cache_bytes import kv_bytes_per_token, state_bytes
from localfp4.models.plan import (
    Draft,
    Machine,
    MemoryPlan,
    compute_dtype,
    cpu_machine,
    gpu_machine,
    plan_memory,
    shrunk,
)
from localfp4.models.plan.workspace import CUDA_CONTEXT
from localfp4.models.spec import DecoderSpec
from localfp4.telemetry.cards import card_named
from tests.models import tiny
from tests.models.plan_models import (
    GEMMA3_27B,
    GIB,
    GPT_OSS_20B,
    QWEN3_5_27B,
    QWEN3_8B,
    QWEN3_8B_PARAMETERS,
    sizes_of,
    spec_of,
)

BF16 = EngineConfig("m", dtype="bfloat16", kv_cache_dtype="bfloat16")
STATE = 48 * (48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2)
"""Bytes of one sequence's states: 48 layers, each with a float32 matrix a head and three inputs."""


@pytest.fixture(scope="module")
def spec() -> DecoderSpec:
    return spec_of(QWEN3_8B)


@pytest.fixture(scope="module")
def hybrid() -> DecoderSpec:
    return spec_of(QWEN3_5_27B)


def gpu(free: float, total: float | None = None, capability: int = 89, ram: float = 0) -> Machine:
    return gpu_machine(
        free_bytes=int(free * GIB),
        total_bytes=int((total or free) * GIB),
        ram_bytes=int(ram * GIB),
        capability=capability,
        card=None,
        drives_display=None,
        has_context=True,
    )


def plan(
    spec: DecoderSpec,
    machine: Machine,
    config: EngineConfig = BF16,
    weights: int = 2 * QWEN3_8B_PARAMETERS,
) -> MemoryPlan:
    return plan_memory(config, spec, sizes_of(spec, weights), machine, dtype="bfloat16")


def test_weights_and_cache_of_qwen3_8b(spec: DecoderSpec) -> None:
    made = plan(spec, gpu(24))
    assert made.weight_bytes == 2 * QWEN3_8B_PARAMETERS
    assert made.kv_bytes_per_token == 36 * 2 * 8 * 128 * 2 == 144 * 1024
    # The pool has a page more, which padding is written to.
    assert made.kv_cache_bytes == (made.kv_cache_tokens + PAGE_SIZE) * 144 * 1024
    assert made.group_pages == (made.kv_cache_tokens // PAGE_SIZE,)


def test_what_is_left_is_the_context(spec: DecoderSpec) -> None:
    made = plan(spec, gpu(20))
    left = 20 * GIB - made.reserve_bytes - made.total_bytes
    assert made.reserve_bytes == GIB
    assert 0 <= left < PAGE_SIZE * 144 * 1024, "another page would not have fitted"
    assert made.max_model_len == made.kv_cache_tokens < 40960


def test_a_large_memory_holds_the_whole_context_for_many(spec: DecoderSpec) -> None:
    made = plan(spec, gpu(79))
    assert made.max_model_len == 40960
    assert made.conversations == made.kv_cache_tokens // 40960 >= 4
    assert made.total_bytes < 79 * GIB * 0.8, "half of what is left stays so"


def test_an_explicit_context_is_kept_or_refused(spec: DecoderSpec) -> None:
    config = replace(BF16, model="org/Qwen3-8B", max_model_len=10000)
    made = plan(spec, gpu(20), config)
    assert made.max_model_len == 10000
    assert made.kv_cache_tokens >= 10048
    with pytest.raises(ContextError) as refused:
        plan(spec, gpu(20, 24), replace(config, max_model_len=40000))
    first, breakdown, fits, narrow, close = str(refused.value).splitlines()
    assert first.startswith("org/Qwen3-8B needs 2")
    assert first.endswith("GiB; 20.0 GiB free of 24.0")
    # 40000 tokens and the page for padding, 144 KiB each: 5.5 GiB.
    assert "weights 15.3 · KV 40000 tokens bfloat16 5.5 · work" in breakdown
    assert breakdown.endswith("reserve 1.0 (others hold 4.0)")
    longest = int(fits.split("--ctx ")[1].split()[0])
    assert plan(spec, gpu(20), replace(config, max_model_len=longest)).max_model_len == longest
    with pytest.raises(ContextError):
        plan(spec, gpu(20), replace(config, max_model_len=longest + 1))
    assert narrow.startswith("→ or localfp4 chat org/Qwen3-8B --ctx 40000 --kv fp8   needs ")
    assert close == "→ or close other programs       localfp4 doctor --vram"
    with pytest.raises(ContextError, match="made for 40960; use --ctx 40960 or less"):
        plan(spec, gpu(200), replace(config, max_model_len=40961))
    wish = replace(config, max_model_len=40961, shortens_context=True)
    assert plan(spec, gpu(200), wish).max_model_len == 40960


def test_a_context_too_long_for_any_placement_is_told_the_longest_one(spec: DecoderSpec) -> None:
    config = replace(BF16, model="m", max_model_len=40000)
    card = gpu(6.5, ram=32)
    with pytest.raises(ContextError) as refused:
        plan(spec, card, config)
    _, _, fits, narrow = str(refused.value).splitlines()
    assert fits.endswith(", fits, with weights in main memory")
    longest = int(fits.split("--ctx ")[1].split()[0])
    made = plan(spec, card, replace(config, max_model_len=longest))
    assert made.placement.host_layers == len(spec.layers)
    with pytest.raises(ContextError):
        plan(spec, card, replace(config, max_model_len=longest + PAGE_SIZE))
    assert "--ctx 40000 --kv fp8" in narrow
    assert plan(spec, card, replace(config, kv_cache_dtype="fp8")).max_model_len == 40000


def test_weights_that_fit_nowhere_are_refused(spec: DecoderSpec) -> None:
    with pytest.raises(ContextError) as refused:
        plan(spec, gpu(16, ram=8))
    text = str(refused.value)
    assert "16.0 GiB free of 16.0" in text
    assert "weights 15.3" in text
    # All layers, nine tenths of the weights; of 8 GiB a tenth is left to others.
    assert "13.7 GiB of main memory" in text
    assert "7.2 GiB can be had" in text
    assert text.endswith("→ pick a smaller model")


def test_a_limit_binds_where_more_is_free(spec: DecoderSpec) -> None:
    config = replace(BF16, vram_limit=20 * GIB)
    made = plan(spec, gpu(79), config)
    assert 19.9 * GIB < made.total_bytes <= 20 * GIB
    assert plan(spec, gpu(18), config) == plan(spec, gpu(18)), "it allows more than there is"
    with pytest.raises(ContextError, match=r"--vram-limit allows 15\.0 GiB(.|\n)*raise --vram"):
        plan(spec, gpu(79), replace(config, vram_limit=15 * GIB))


def test_cuda_takes_memory_for_itself_where_it_has_not_begun(spec: DecoderSpec) -> None:
    begun, fresh = plan(spec, gpu(24)), plan(spec, replace(gpu(24), has_context=False))
    assert fresh.workspace_bytes == begun.workspace_bytes + CUDA_CONTEXT


@pytest.mark.parametrize(("drives", "reserve"), [(True, GIB), (None, GIB), (False, 0)])
def test_a_desktop_keeps_some(drives: bool | None, reserve: int, spec: DecoderSpec) -> None:
    machine = gpu_machine(
        free_bytes=24 * GIB,
        total_bytes=24 * GIB,
        ram_bytes=0,
        capability=89,
        card=None,
        drives_display=drives,
        has_context=True,
    )
    assert plan(spec, machine).reserve_bytes == reserve


def test_an_explicit_cache_size(spec: DecoderSpec) -> None:
    config = replace(BF16, kv_cache_tokens=5000)
    made = plan(spec, gpu(24), config)
    assert made.kv_cache_tokens == 5056
    assert made.max_model_len == 5056, "no longer than the cache"
    with pytest.raises(ContextError, match=r"KV cache of 600000 tokens needs 82\.4 GiB"):
        plan(spec, gpu(24), replace(config, kv_cache_tokens=600000))


def test_an_explicit_context_longer_than_the_explicit_cache_is_refused(spec: DecoderSpec) -> None:
    config = replace(BF16, max_model_len=4096, kv_cache_tokens=1024)
    with pytest.raises(ContextError, match=r"4096 tokens .* KV cache of 1024"):
        plan(spec, gpu(24), config)


@pytest.mark.parametrize(
    ("asked", "device", "free_gib", "chosen"),
    [
        ("auto", "cpu", 62, "float32"),
        ("auto", "cpu", 60, "bfloat16"),
        ("auto", "cuda", 200, "bfloat16"),
        ("float16", "cpu", 200, "float16"),
        ("float32", "cuda", 60, "float32"),
    ],
)
def test_compute_type(asked: str, device: str, free_gib: int, chosen: str) -> None:
    config = EngineConfig("m", dtype=asked)
    found = compute_dtype(config, QWEN3_8B_PARAMETERS, device=device, free_bytes=free_gib * GIB)
    assert found == chosen


@pytest.mark.parametrize(
    ("capability", "kernels", "chosen"),
    [
        (86, "auto", "bfloat16"),
        (89, "auto", "fp8"),
        (120, "triton", "fp8"),
        (89, "torch", "bfloat16"),
    ],
)
def test_the_cache_is_fp8_where_kernels_convert_it(
    capability: int, kernels: str, chosen: str, spec: DecoderSpec
) -> None:
    config = EngineConfig("m", kernels=kernels)
    made = plan(spec, gpu(80, capability=capability), config)
    assert made.kv_dtype == chosen
    per_token = {"fp8": 36 * 2 * 8 * (128 + 4), "bfloat16": 144 * 1024}
    assert made.kv_bytes_per_token == per_token[chosen]


def test_the_cache_on_a_cpu_has_the_compute_type(spec: DecoderSpec) -> None:
    machine = cpu_machine(100 * GIB, 128 * GIB)
    made = plan(spec, machine, EngineConfig("m"))
    assert (made.dtype, made.kv_dtype) == ("bfloat16", "bfloat16")
    assert made.reserve_bytes == 10 * GIB
    assert made.limit_tokens_per_s is None


def test_windows_of_gemma_3_27b() -> None:
    spec = spec_of(GEMMA3_27B)
    config = EngineConfig("m", max_model_len=32768, kv_cache_tokens=32768, max_step_tokens=512)
    made = plan(spec, gpu(24), config, 17_240_582_624)
    # 10 of 62 layers see everything, 52 see 1024 tokens; 16 heads of 128 and a scale each.
    layer = 2 * 16 * (128 + 4)
    assert made.kv_bytes_per_token == 62 * layer
    whole, windows = made.group_pages
    assert whole == 512
    assert windows % 25 == 0, "1024 + 512 tokens are 24 pages, which need not begin with one"
    assert made.kv_cache_bytes == 64 * layer * (10 * 513 + 52 * (windows + 1))
    one = 64 * layer * (10 * 513 + 52 * 26)
    assert one < 0.22 * 32768 * 62 * layer, "a fifth of what it would be without windows"


def test_windows_of_gpt_oss_20b() -> None:
    spec = spec_of(GPT_OSS_20B)
    config = EngineConfig("m", max_model_len=65536, kv_cache_tokens=65536, max_step_tokens=512)
    made = plan(spec, gpu(16), config, 13_788_092_288)
    layer = 2 * 8 * (64 + 4)
    assert made.kv_bytes_per_token == 24 * layer
    whole, windows = made.group_pages
    assert (whole, windows % 11) == (1024, 0), "128 + 512 tokens are 10 pages, and one more"
    assert made.kv_cache_bytes == 64 * layer * 12 * (1025 + windows + 1)


def test_a_short_context_needs_no_more_of_a_window_than_it_has() -> None:
    made = plan(spec_of(GEMMA3_27B), gpu(24), EngineConfig("m", max_model_len=640), 17_240_582_624)
    whole, windows = made.group_pages
    assert windows <= whole


def test_many_sequences_have_their_windows_where_memory_allows() -> None:
    spec = spec_of(GEMMA3_27B)
    config = EngineConfig("m", max_step_tokens=512)
    made = plan(spec, gpu(139), config, 17_240_582_624)
    assert made.group_pages[1] == 64 * 25
    assert plan(spec, gpu(24), config, 17_240_582_624).group_pages[1] == 2 * 25


def test_state_bytes(hybrid: DecoderSpec, spec: DecoderSpec) -> None:
    assert state_bytes(hybrid, "bfloat16") == STATE == 153_944_064
    assert kv_bytes_per_token(replace(hybrid, mtp=()), "fp8") == 16 * 2 * 4 * (256 + 4)
    assert state_bytes(spec, "bfloat16") == 0


def test_models_without_states_have_no_slots(spec: DecoderSpec) -> None:
    made = plan(spec, gpu(24))
    assert (made.state_bytes, made.state_slots, made.state_snapshots) == (0, 0, 0)
    assert made.states_bytes == 0


def test_states_take_a_quarter_of_what_weights_leave(hybrid: DecoderSpec) -> None:
    made = plan(hybrid, gpu(24), weights=19 * GIB)
    left = 23 * GIB - 19 * GIB - made.workspace_bytes - STATE
    assert made.state_slots + made.state_snapshots == pytest.approx(left * 0.25 / STATE, abs=1)
    assert made.state_slots >= made.state_snapshots >= 1
    assert made.states_bytes == (made.state_slots + made.state_snapshots + 1) * STATE


def test_a_large_memory_has_a_slot_for_the_whole_batch(hybrid: DecoderSpec) -> None:
    config = replace(BF16, max_batch=8)
    made = plan(hybrid, gpu(400), config, weights=19 * GIB)
    assert (made.state_slots, made.state_snapshots) == (8, 64)
    made = plan(hybrid, gpu(400), replace(config, prefix_caching=False), weights=19 * GIB)
    assert (made.state_slots, made.state_snapshots) == (8, 0)


def test_an_explicit_context_goes_before_states(hybrid: DecoderSpec) -> None:
    with pytest.raises(ContextError) as refused:
        plan(hybrid, gpu(24), replace(BF16, max_model_len=200000), weights=19 * GIB)
    assert "KV 200000 tokens bfloat16 and states" in str(refused.value)
    longest = int(str(refused.value).split("--ctx ")[1].split()[0])
    made = plan(hybrid, gpu(24), replace(BF16, max_model_len=longest), weights=19 * GIB)
    assert (made.max_model_len, made.state_slots, made.state_snapshots) == (longest, 1, 0)


def test_a_draft_model_takes_pages_of_the_same_numbers(spec: DecoderSpec) -> None:
    small = spec_of({**QWEN3_8B, "num_hidden_layers": 4})
    sizes = sizes_of(spec, 6 * GIB)
    alone = plan_memory(BF16, spec, sizes, gpu(12), dtype="bfloat16")
    both = plan_memory(
        BF16,
        spec,
        sizes,
        gpu(12),
        dtype="bfloat16",
        draft=Draft(small, sizes_of(small, GIB)),
    )
    assert both.weight_bytes == alone.weight_bytes + GIB
    assert both.kv_bytes_per_token == alone.kv_bytes_per_token * 40 // 36
    assert both.max_model_len < alone.max_model_len


def test_an_automatic_context_shrinks_once(spec: DecoderSpec) -> None:
    made = plan(spec, gpu(24))
    smaller = shrunk(BF16, made)
    assert smaller is not None
    again = plan(spec, gpu(24), smaller)
    assert made.max_model_len // 2 - 64 < again.max_model_len <= made.max_model_len // 2
    assert again.total_bytes < made.total_bytes - made.kv_cache_bytes // 3
    assert shrunk(smaller, again) is None, "once"


@pytest.mark.parametrize(
    "config", [replace(BF16, max_model_len=2048), replace(BF16, kv_cache_tokens=4096)]
)
def test_what_was_asked_for_does_not_shrink(config: EngineConfig, spec: DecoderSpec) -> None:
    assert shrunk(config, plan(spec, gpu(24), config)) is None


def test_a_context_of_a_page_does_not_shrink(spec: DecoderSpec) -> None:
    assert shrunk(BF16, replace(plan(spec, gpu(24)), max_model_len=100)) is None


def test_expected_speed_is_a_part_of_the_limit(spec: DecoderSpec) -> None:
    card = card_named("4090")
    machine = replace(gpu(23.6), bandwidth=card.bandwidth, link=card.link)
    sizes = sizes_of(spec, 6_402_884_416, looked_up=1_244_659_712)
    made = plan_memory(EngineConfig("m"), spec, sizes, machine, dtype="bfloat16")
    # 5.158 GB of weights and 2048 tokens of 76032 bytes.
    limit = 1008e9 / (6_402_884_416 - 1_244_659_712 + 2048 * 76032)
    assert made.limit_tokens_per_s == pytest.approx(limit)
    assert made.expected_tokens_per_s == pytest.approx(0.7 * limit)
    assert made.describe() == [
        "About 133 tokens a second are expected: 70% of the 190 that the bandwidth allows."
    ]


@pytest.mark.parametrize("name", ["llama-llama3", "qwen3_moe", "qwen3_5", "qwen3_next"])
def test_parameters_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    model = tiny.build(name)
    checkpoint = open_checkpoint(tiny.save(model, tmp_path / "model"))
    assert parameter_count(checkpoint) == sum(p.numel() for p in model.parameters())
