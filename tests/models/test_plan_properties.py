"""What holds of every memory plan, whatever the model, the machine and the request."""

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.errors import ContextError
from localfp4.models.plan import Machine, MemoryPlan, cpu_machine, gpu_machine, plan_memory
from localfp4.models.spec import DecoderSpec
from localfp4.models.weight_sizes import WeightSizes
from tests.models.plan_models import (
    GEMMA3_27B,
    GIB,
    GPT_OSS_20B,
    QWEN3_5_27B,
    QWEN3_8B,
    QWEN3_30B_A3B,
    sizes_of,
    spec_of,
)

SPECS = [spec_of(one) for one in (QWEN3_8B, QWEN3_30B_A3B, GEMMA3_27B, GPT_OSS_20B, QWEN3_5_27B)]


@st.composite
def models(draw: st.DrawFn) -> tuple[DecoderSpec, WeightSizes]:
    spec = draw(st.sampled_from(SPECS))
    return spec, sizes_of(spec, draw(st.integers(2 * GIB, 30 * GIB)))


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    total = draw(st.integers(2 * GIB, 96 * GIB))
    free = draw(st.integers(total // 4, total))
    if draw(st.booleans()):
        return cpu_machine(free, total)
    return gpu_machine(
        free_bytes=free,
        total_bytes=total,
        ram_bytes=draw(st.integers(0, 64 * GIB)),
        capability=draw(st.sampled_from([86, 89, 120])),
        card=None,
        drives_display=draw(st.sampled_from([True, False, None])),
        has_context=draw(st.booleans()),
    )


@st.composite
def configs(draw: st.DrawFn) -> EngineConfig:
    contexts = st.one_of(st.none(), st.integers(1, 40960))
    config = EngineConfig(
        "org/name",
        max_model_len=draw(contexts),
        max_batch=draw(st.integers(1, 64)),
        max_step_tokens=draw(st.sampled_from([64, 512, 2048])),
        prefix_caching=draw(st.booleans()),
        vram_limit=draw(st.one_of(st.none(), st.integers(GIB, 64 * GIB))),
    )
    cached = draw(st.one_of(st.none(), st.integers(config.max_model_len or 1, 10**6)))
    return replace(config, kv_cache_tokens=cached)


def plan(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, config: EngineConfig
) -> MemoryPlan | str:
    try:
        return plan_memory(config, *model, machine, dtype="bfloat16")
    except ContextError as error:
        return str(error)


@settings(max_examples=30, deadline=None)
@given(models(), machines(), configs())
def test_a_plan_stays_within_what_there_is(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, config: EngineConfig
) -> None:
    made = plan(model, machine, config)
    if isinstance(made, str):
        assert re.search(r"\d", made), "every refusal names numbers"
        return
    assert made.total_bytes + made.reserve_bytes <= machine.free_bytes
    if machine.is_gpu and config.vram_limit is not None:
        assert made.total_bytes <= config.vram_limit
    assert made.host_bytes <= machine.ram_bytes
    assert made.weight_bytes + made.host_bytes >= model[1].total
    assert made.kv_cache_tokens % PAGE_SIZE == 0
    assert 1 <= made.max_model_len <= min(made.kv_cache_tokens, model[0].max_context)
    assert made.group_pages[0] * PAGE_SIZE == made.kv_cache_tokens
    assert max(made.group_pages) == made.group_pages[0]
    assert config.max_model_len in (None, made.max_model_len)
    assert bool(made.state_slots) == model[0].is_recurrent
    assert 1 <= made.conversations <= config.max_batch


@settings(max_examples=25, deadline=None)
@given(models(), machines(), configs(), st.integers(0, 16 * GIB))
def test_more_memory_never_means_less(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, config: EngineConfig, more: int
) -> None:
    made = plan(model, machine, config)
    larger = replace(
        machine, free_bytes=machine.free_bytes + more, total_bytes=machine.total_bytes + more
    )
    again = plan(model, larger, config)
    if isinstance(made, str):
        return
    assert not isinstance(again, str)
    if made.placement == again.placement and not made.state_bytes:
        assert again.max_model_len >= made.max_model_len
        assert again.kv_cache_tokens >= made.kv_cache_tokens
    assert again.weight_bytes >= made.weight_bytes


@settings(max_examples=25, deadline=None)
@given(models(), machines(), st.integers(64, 40960), st.integers(1, 64))
def test_a_shorter_context_fits_where_a_longer_does(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, context: int, batch: int
) -> None:
    config = EngineConfig("m", max_model_len=context, max_batch=batch)
    made = plan(model, machine, config)
    # A dense model is not moved for a long context once a fair one fits beside all of it.
    if isinstance(made, str) or not made.placement.is_whole:
        return
    for smaller in (
        replace(config, max_model_len=context // 2),
        replace(config, max_batch=max(batch // 2, 1)),
        replace(config, kv_cache_dtype="fp8"),
    ):
        assert not isinstance(plan(model, machine, smaller), str)


@settings(max_examples=20, deadline=None)
@given(models(), machines())
def test_the_context_that_a_refusal_offers_fits(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine
) -> None:
    config = EngineConfig("m", max_model_len=40960)
    refusal = plan(model, machine, config)
    if not isinstance(refusal, str) or "--ctx" not in refusal:
        return
    offered = int(refusal.split("--ctx ")[1].split()[0])
    made = plan(model, machine, replace(config, max_model_len=offered))
    assert not isinstance(made, str)
    assert made.max_model_len == offered


@settings(max_examples=25, deadline=None)
@given(models(), machines(), st.integers(64, 20480), st.integers(1, 32), st.integers(1, 8))
def test_what_is_asked_for_more_takes_more(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, context: int, batch: int, times: int
) -> None:
    config = EngineConfig(
        "m", max_model_len=context, max_batch=batch, kv_cache_tokens=context, prefix_caching=False
    )
    made = plan(model, machine, config)
    if isinstance(made, str) or not made.placement.is_whole:
        return
    for more in (
        replace(config, kv_cache_tokens=context * times),
        replace(config, max_batch=batch * times),
        replace(config, max_model_len=context + times, kv_cache_tokens=context + times),
        replace(config, kv_cache_dtype="float32"),
        replace(config, max_step_tokens=1024 * times),
    ):
        larger = plan(model, machine, more)
        if not isinstance(larger, str) and larger.placement.is_whole:
            assert larger.total_bytes >= made.total_bytes


@settings(max_examples=25, deadline=None)
@given(models(), machines(), configs(), st.integers(0, 8 * GIB))
def test_what_is_kept_free_is_not_planned_with(
    model: tuple[DecoderSpec, WeightSizes], machine: Machine, config: EngineConfig, kept: int
) -> None:
    strict = replace(machine, reserve_bytes=machine.reserve_bytes + kept)
    careful, free = plan(model, strict, config), plan(model, machine, config)
    if isinstance(careful, str):
        return
    assert not isinstance(free, str), "less to keep free makes nothing impossible"
    assert careful.total_bytes <= machine.room_bytes - kept
    if careful.placement == free.placement and not free.state_bytes:
        assert careful.max_model_len <= free.max_model_len


@settings(max_examples=25, deadline=None)
@given(models(), machines(), configs(), st.integers(0, 8 * GIB), st.integers(0, GIB))
def test_what_loading_takes_is_planned_on_a_cpu(
    model: tuple[DecoderSpec, WeightSizes],
    machine: Machine,
    config: EngineConfig,
    laid_out: int,
    tokenizer: int,
) -> None:
    spec, sizes = model
    sizes = replace(sizes, laid_out=laid_out, tokenizer=tokenizer)
    made = plan((spec, sizes), machine, config)
    if isinstance(made, str):
        return
    taken = 0 if machine.is_gpu else laid_out + tokenizer
    assert made.weight_bytes + taken <= made.total_bytes
    assert made.total_bytes <= machine.room_bytes
