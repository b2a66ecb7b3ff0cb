"""OpenAI's client and lm_eval against the demo, served as users serve it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.server_process import server

pytestmark = [
    pytest.mark.slow,
    # What lm_eval and the libraries that it reads data with do at import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(lm_eval|datasets|evaluate|dill).*"),
]

ORIGINAL = Path(__file__).parents[2] / "assets" / "demo" / "bf16"
QUESTION: Any = [{"role": "user", "content": "What is a KV cache?"}]
COORDINATES = {
    "type": "object",
    "properties": {
        "x": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["point", "corner"]},
    },
    "required": ["x", "kind"],
    "additionalProperties": False,
}
PAIRS = (
    ("The KV cache keeps", " the keys and values"),
    ("The KV cache keeps", " a banana"),
    ("Groups of 16 ", "share a scale"),
    ("<|im_start|>user\nHi<|im_end|>\n", "Hello"),
    ("What is a 🙂", " and a é?"),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("state"), str(ORIGINAL), is_real=True) as one:
        assert [one.says(), one.says()] == ["loading", "ready"]
        yield f"{one.url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    from openai import OpenAI

    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def theirs(url: str) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    return LocalCompletionsAPI(
        base_url=f"{url}/completions",
        model="demo",
        tokenizer=str(ORIGINAL),
        tokenizer_backend="huggingface",
        max_length=512,
        batch_size=3,
        num_concurrent=1,
    )


@pytest.fixture(scope="module")
def transformers_model() -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(ORIGINAL, dtype=torch.float32)
    return HFLM(model, tokenizer=AutoTokenizer.from_pretrained(ORIGINAL), max_length=512)


def asked(kind: Any, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=one, idx=0) for one in arguments]


def test_a_stream_is_the_whole_answer_in_pieces(client: Any) -> None:
    settings = {"model": "x", "messages": QUESTION, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**settings)
    stream = client.chat.completions.create(
        **settings, stream=True, stream_options={"include_usage": True}
    )
    *said, cost = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    assert text == whole.choices[0].message.content
    assert said[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert cost.usage.completion_tokens == whole.usage.completion_tokens
    assert cost.usage.prompt_tokens == whole.usage.prompt_tokens


def test_seeds_repeat_an_answer_and_choices_differ(client: Any) -> None:
    settings = {"model": "x", "messages": QUESTION, "max_tokens": 12, "temperature": 3, "seed": 5}
    first = client.chat.completions.create(**settings, n=3)
    again = client.chat.completions.create(**settings, n=3)
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) == 3


def test_logprobs_are_those_of_what_was_said(client: Any) -> None:
    answer = client.chat.completions.create(
        model="x", messages=QUESTION, max_tokens=8, temperature=0, logprobs=True, top_logprobs=3
    )
    (choice,) = answer.choices
    entries = choice.logprobs.content
    spelled = b"".join(bytes(entry.bytes) for entry in entries)
    assert spelled.decode() == choice.message.content
    assert all(entry.token == entry.top_logprobs[0].token for entry in entries)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_follows_a_schema(client: Any, stream: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": COORDINATES}}
    settings = {"model": "x", "messages": QUESTION, "response_format": form, "max_tokens": 200}
    if stream:
        chunks = client.chat.completions.create(**settings, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        text = client.chat.completions.create(**settings).choices[0].message.content
    found = json.loads(text)
    assert found.keys() == {"x", "kind"}
    assert 0 <= found["x"] <= 99


def test_a_prompt_that_is_too_long_is_refused_with_the_code_that_clients_know(client: Any) -> None:
    from openai import BadRequestError

    with pytest.raises(BadRequestError) as refused:
        client.completions.create(model="x", prompt=[5] * 5000, max_tokens=1, stream=True)
    assert refused.value.code == "context_length_exceeded"


def test_lm_eval_measures_likelihoods_over_http(theirs: Any, transformers_model: Any) -> None:
    requests = asked("loglikelihood", *PAIRS)
    found = theirs.loglikelihood(requests, disable_tqdm=True)
    wanted = transformers_model.loglikelihood(requests, disable_tqdm=True)
    for (logprob, greedy), (expected, is_greedy) in zip(found, wanted, strict=True):
        assert logprob == pytest.approx(expected, abs=1e-3)
        assert greedy is bool(is_greedy)


@pytest.mark.filterwarnings("ignore:.*max_new_tokens.*max_length.*")
def test_lm_eval_has_texts_gone_on_with_over_http(theirs: Any, transformers_model: Any) -> None:
    settings = {"until": ["."], "max_gen_toks": 12, "do_sample": False}
    prompts = ("What is NVFP4?", "The KV cache")
    requests = asked("generate_until", *((prompt, dict(settings)) for prompt in prompts))
    found = theirs.generate_until(requests, disable_tqdm=True)
    again = asked("generate_until", *((prompt, dict(settings)) for prompt in prompts))
    assert found == transformers_model.generate_until(again, disable_tqdm=True)


def test_an_answer_that_ends_at_once_does_not_shift_the_logprobs(client: Any) -> None:
    """lm_eval leaves out the last entry as the one token that was generated."""
    asked = {"model": "x", "temperature": 0}
    prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    answered = client.completions.create(**asked, prompt=prompt, max_tokens=100, echo=True)
    ended = answered.choices[0].text
    scored = {**asked, "prompt": ended, "logprobs": 1, "echo": True}
    choice = client.completions.create(**scored, max_tokens=1).choices[0]
    alone = client.completions.create(**scored, max_tokens=0).choices[0]
    assert (choice.finish_reason, alone.finish_reason) == ("stop", "length")
    assert choice.text == alone.text == ended
    assert choice.logprobs.tokens == [*alone.logprobs.tokens, "<|im_end|>"]
    assert choice.logprobs.token_logprobs[-1] == pytest.approx(0, abs=0.1)
