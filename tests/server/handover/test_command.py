"""What vLLM is told, as its own parser understands it."""

import itertools
import json
import subprocess
import sys
from typing import Any, get_args

import pytest

from localfp4.config import EngineConfig
from localfp4.errors import RequestError, UnsupportedModelError
from localfp4.server.defaults import Defaults
from localfp4.server.handover.command import (
    Origin,
    Spread,
    vllm_command,
    vllm_environment,
)
from localfp4.server.handover.facts import CheckpointFacts, read_facts
from localfp4.server.handover.prepare import prepare
from localfp4.server.settings import ServerSettings
from localfp4.text.parsers.choose import CallStyle
from tests.server.handover.vllm_parser import FACTS, parse

QWEN = CheckpointFacts("qwen3", calls="hermes", thoughts="<think>")


def told(
    config: EngineConfig | None = None,
    settings: ServerSettings | None = None,
    facts: CheckpointFacts | None = QWEN,
    origin: Origin | None = None,
    **more: Any,
) -> dict[str, Any]:
    config = config or EngineConfig("org/name")
    command = vllm_command(
        origin or Origin("org/name"), config, settings or ServerSettings(), facts, **more
    )
    return parse(command)


def test_by_default_it_serves_as_this_program_does() -> None:
    assert told() == {
        "model_tag": "org/name",
        "host": "127.0.0.1",
        "port": 8000,
        "served_model_name": ["org/name"],
        "enable_auto_tool_choice": True,
        "tool_call_parser": "hermes",
        "reasoning_parser": "qwen3",
        "max_num_seqs": 64,
        "max_num_queued_reqs": 64 + 256,
        "enable_prompt_tokens_details": True,
        "shutdown_timeout": 30,
    }


@pytest.mark.parametrize(
    ("settings", "understood"),
    [
        ({"max_model_len": 4096}, {"max_model_len": 4096}),
        ({"dtype": "float32"}, {"dtype": "float32"}),
        ({"kv_cache_dtype": "fp8"}, {"kv_cache_dtype": "fp8_per_token_head"}),
        ({"kv_cache_dtype": "fp8-static"}, {"kv_cache_dtype": "fp8"}),
        ({"kv_cache_dtype": "bfloat16"}, {"kv_cache_dtype": "bfloat16"}),
        ({"kv_ram_bytes": 3 * 2**29}, {"kv_offloading_size": 1.5}),
        ({"max_batch": 8}, {"max_num_seqs": 8, "max_num_queued_reqs": 8 + 256}),
        ({"max_step_tokens": 512}, {"max_num_batched_tokens": 512}),
        ({"prefix_caching": False}, {"enable_prefix_caching": False}),
        ({"cuda_graphs": False}, {"enforce_eager": True}),
        ({"device": "cuda:1"}, {"device_ids": [1]}),
    ],
)
def test_settings_of_the_engine_have_their_equals(
    settings: dict[str, Any], understood: dict[str, Any]
) -> None:
    assert told(EngineConfig("org/name", **settings)) == told() | understood


@pytest.mark.parametrize("way", ["ngram", "mtp", "draft"])
def test_guessing_ahead_is_by_methods_that_it_has(way: str) -> None:
    draft = "org/small" if way == "draft" else None
    found = told(EngineConfig("org/name", speculation=way, draft_model=draft))
    guessing = found["speculative_config"]
    assert guessing["method"] in FACTS["speculative_methods"]
    assert guessing["num_speculative_tokens"] >= 1
    assert guessing.get("model") == draft


def test_the_rest_of_serving_has_its_equals_too() -> None:
    settings = ServerSettings(
        host="0.0.0.0",
        port=9000,
        api_key="secret",
        served_names=("a", "b"),
        cors_origins=("http://localhost:3000",),
        drain_s=5.4,
        queue=3,
    )
    found = told(settings=settings, origin=Origin("org/name", "v2"))
    assert (found["host"], found["port"], found["revision"]) == ("0.0.0.0", 9000, "v2")
    assert found["served_model_name"] == ["a", "b"]
    assert found["allowed_origins"] == ["http://localhost:3000"]
    assert found["shutdown_timeout"] == 5
    assert found["max_num_queued_reqs"] == 64 + 3
    assert "secret" not in json.dumps(found)
    assert vllm_environment(settings)["VLLM_API_KEY"] == "secret"
    assert "VLLM_API_KEY" not in vllm_environment(ServerSettings())


def test_defaults_hold_for_requests_that_say_nothing() -> None:
    defaults = Defaults({"temperature": 0.5, "max_tokens": 9}, False, "low")
    found = told(defaults=defaults)
    assert found["override_generation_config"] == {"temperature": 0.5, "max_new_tokens": 9}
    kwargs = {"enable_thinking": False, "reasoning_effort": "low"}
    assert found["default_chat_template_kwargs"] == kwargs


@pytest.mark.parametrize(
    ("spread", "understood"),
    [
        (Spread(gpus_here=1), {}),
        (Spread(2, gpus_here=2), {"tensor_parallel_size": 2}),
        (Spread(2, 2, 4), {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}),
        (
            Spread(2, 2, 2),
            {
                "tensor_parallel_size": 2,
                "pipeline_parallel_size": 2,
                "distributed_executor_backend": "ray",
            },
        ),
    ],
)
def test_ray_comes_in_where_this_computer_has_too_few_cards(
    spread: Spread, understood: dict[str, Any]
) -> None:
    assert told(spread=spread) == told() | understood


@pytest.mark.parametrize(
    ("calls", "thoughts"),
    list(
        itertools.product(
            [*get_args(CallStyle), None], ["", "<think>", "<seed:think>", "[THINK]", "<|channel>"]
        )
    ),
)
def test_every_protocol_of_answers_is_read_by_a_parser_that_it_has(
    calls: CallStyle | None, thoughts: str
) -> None:
    for family, always in itertools.product(
        ("llama", "gpt_oss", "olmo3", "nemotron_h", "glm4_moe_lite"), (True, False)
    ):
        facts = CheckpointFacts(family, None, True, calls, thoughts, always)
        found = told(facts=facts)
        assert found["language_model_only"]
        assert ("tool_call_parser" in found) == (calls not in (None, "plain_json"))
        assert ("reasoning_parser" in found) == bool(thoughts or family == "gpt_oss")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "w4a16"}, "--precision has no equal in vLLM"),
        ({"vram_limit": 2**30}, "--vram-limit has no equal in vLLM"),
        ({"kv_disk": "here"}, "--kv-disk has no equal"),
        ({"threads": 2}, "--threads has no equal"),
        ({"kernels": "torch"}, "--kernels has no equal"),
        ({"kv_cache_dtype": "float32"}, "no KV cache of 32 bits"),
        ({"device": "cpu"}, "runs on GPUs, not on cpu"),
    ],
)
def test_what_has_no_equal_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        told(EngineConfig("org/name", **settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"allowed_hosts": ("pc",)}, "--allowed-host has no equal in vLLM"),
        ({"timeout_s": 5.0}, "--request-timeout has no equal in vLLM"),
        ({"port": 0}, "choose a --port instead of 0"),
    ],
)
def test_how_it_cannot_serve_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        told(settings=ServerSettings(**settings))


@pytest.mark.parametrize("argument", ["--port", "--port=9", "--host"])
def test_where_it_listens_is_not_changed_behind_our_back(argument: str) -> None:
    with pytest.raises(RequestError, match=f"{argument} after -- would not be known here"):
        told(extra=[argument, "9"])


def test_a_seed_cannot_be_set_for_all() -> None:
    with pytest.raises(RequestError, match="leave --seed out"):
        told(defaults=Defaults({"seed": 1}))


def test_further_arguments_are_passed_on_and_come_last() -> None:
    assert told(extra=["--max-num-seqs", "3"])["max_num_seqs"] == 3
    with pytest.raises(ValueError, match="--no-such-flag"):
        told(extra=["--no-such-flag"])


def test_the_demo_is_handed_over_from_its_folder() -> None:
    prepared = prepare(EngineConfig("demo"), ServerSettings(), spread=Spread(), defaults=Defaults())
    found = parse(prepared.command)
    assert found["model_tag"].endswith("localfp4_demo")
    assert found["served_model_name"] == ["demo"]
    assert prepared.notes == ()


def test_a_model_that_is_not_here_is_left_to_vllm() -> None:
    config = EngineConfig("org/name@v2")
    prepared = prepare(config, ServerSettings(), spread=Spread(4, 2, 4), defaults=Defaults())
    found = parse(prepared.command)
    assert (found["model_tag"], found["revision"]) == ("org/name", "v2")
    assert found["served_model_name"] == ["org/name@v2"]
    assert "tool_call_parser" not in found
    hint, note = prepared.notes
    assert hint.startswith("8 GPUs are asked for, and 4 are here")
    assert "ray start --head" in hint
    assert "vLLM downloads and checks it" in note


def test_shapes_without_weights_are_not_handed_over() -> None:
    config = EngineConfig("synthetic:qwen3-8b")
    with pytest.raises(UnsupportedModelError, match="no weights"):
        prepare(config, ServerSettings(), spread=Spread(), defaults=Defaults())


def test_facts_are_read_from_the_files() -> None:
    from localfp4.checkpoint.hub import find

    folder = find("demo")
    facts = read_facts(folder)  # type: ignore[arg-type]
    assert facts.family == "qwen3"
    assert not facts.has_other_senses


def test_handing_over_needs_nothing_of_the_server() -> None:
    code = (
        "import sys, localfp4.server.handover.prepare, localfp4.server.handover.run\n"
        "print({'starlette', 'uvicorn', 'pydantic', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
