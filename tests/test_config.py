"""Settings out of range, or of the wrong kind: one sentence each, whatever was given."""

from typing import Any

import numpy as np
import pytest

from localfp4.config import EngineConfig, SamplingParams
from localfp4.errors import RequestError

WRONG_SAMPLING: list[dict[str, Any]] = [
    {"temperature": "hot"},
    {"temperature": float("nan")},
    {"temperature": -0.1},
    {"temperature": True},
    {"top_k": 2.5},
    {"top_k": None},
    {"top_p": 0},
    {"min_p": 1.1},
    {"max_tokens": -1},
    {"seed": "3"},
    {"repetition_penalty": 0},
    {"presence_penalty": float("inf")},
    {"logit_bias": {"5": 1.0}},
    {"logit_bias": {5: "x"}},
    {"logit_bias": {5: 1e300}},
    {"logit_bias": [1]},
    {"stop": "end"},
    {"stop": ["end", ""]},
    {"stop": [1]},
    {"stop": 5},
    {"stop_token_ids": 5},
    {"stop_token_ids": ["a"]},
    {"logprobs": -1},
]


@pytest.mark.parametrize("wrong", WRONG_SAMPLING)
def test_wrong_sampling_is_named(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(RequestError, match=rf"^{name} must be .*, not .*\.$"):
        SamplingParams(**wrong)


def test_no_answer_is_refused_where_one_is_wanted() -> None:
    SamplingParams().check_answers()
    SamplingParams(max_tokens=1).check_answers()
    with pytest.raises(RequestError, match=r"^max_tokens must be at least 1, not 0\.$"):
        SamplingParams(max_tokens=0).check_answers()


def test_numbers_of_numpy_are_numbers() -> None:
    params = SamplingParams(seed=np.int64(3), temperature=np.float64(0.5), max_tokens=np.int32(4))  # type: ignore[arg-type]
    assert (params.seed, params.temperature, params.max_tokens) == (3, 0.5, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch": "8"},
        {"max_batch": 0},
        {"max_model_len": 10.5},
        {"threads": True},
        {"threads": 100_000},
        {"dtype": 4},
        {"rounding": "q4_0"},
        {"rounding": True},
    ],
)
def test_wrong_engine_settings_are_named(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(RequestError, match=rf"^{name} must be "):
        EngineConfig("demo", **wrong)


@pytest.mark.parametrize(
    ("contradiction", "words"),
    [
        ({"prefix_caching": False, "kv_disk": "kv"}, "same beginning"),
        ({"prefix_caching": False, "kv_ram_bytes": 10}, "same beginning"),
        ({"speculation": "draft"}, "belong together"),
        ({"draft_model": "demo"}, "belong together"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    contradiction: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        EngineConfig("demo", **contradiction)


def test_where_the_log_is_makes_no_other_engine() -> None:
    config = EngineConfig("demo", log_file="a.log")
    assert config == EngineConfig("demo")
    assert hash(config) == hash(EngineConfig("demo"))
