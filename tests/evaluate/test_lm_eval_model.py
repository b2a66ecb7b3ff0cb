"""Likelihoods and answers for lm_eval, against its own class for transformers."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localfp4 import LLM
from localfp4.errors import RequestError
from localfp4.evaluate.events import Progress

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parity,
    # What lm_eval and the libraries that it reads data with do at import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(lm_eval|datasets|evaluate|dill).*"),
]

ORIGINAL = Path(__file__).parents[2] / "assets" / "demo" / "bf16"
CONTEXT = 192
TEXT = (
    "NVFP4 stores numbers in 4 bits. Groups of 16 share a scale in FP8, and a whole tensor shares "
    "one FP32 scale. "
)


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(
        str(ORIGINAL), device="cpu", dtype="float32", max_model_len=CONTEXT, threads=1
    ) as loaded:
        yield loaded


@pytest.fixture
def ours(llm: LLM) -> Any:
    from localfp4.evaluate.lm_eval_model import LocalModel

    return LocalModel(llm.scorer())


@pytest.fixture(scope="module")
def theirs() -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(ORIGINAL, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(ORIGINAL)
    return HFLM(pretrained=model, tokenizer=tokenizer, max_length=CONTEXT - 1, batch_size=4)


def asked(kind: Any, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=one, idx=0) for one in arguments]


PAIRS = (
    ("The KV cache keeps", " the keys and values"),
    ("The KV cache keeps", " a banana"),
    ("Groups of 16 ", "share a scale"),
    ("", " one two"),
    (TEXT * 20, " one scale"),
    ("<|im_start|>user\nHi<|im_end|>\n", "Hello"),
)


def test_likelihoods_are_those_of_transformers(ours: Any, theirs: Any) -> None:
    requests = asked("loglikelihood", *PAIRS)
    wanted = theirs.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests)
    for (logprob, greedy), (expected, is_greedy) in zip(found, wanted, strict=True):
        assert logprob == pytest.approx(expected, abs=1e-3)
        assert greedy is bool(is_greedy)
    assert found[0][0] > found[1][0], "the demo was trained to say the first"
    assert ours.truncated == 1


def test_greedy_continuations_are_told(ours: Any, theirs: Any) -> None:
    settings = {"until": ["."], "max_gen_toks": 8, "do_sample": False}
    [answer] = ours.generate_until(asked("generate_until", ("The KV cache", settings)))
    requests = asked("loglikelihood", ("The KV cache", answer), ("The KV cache", answer + "x"))
    assert [greedy for _, greedy in ours.loglikelihood(requests)] == [True, False]
    assert [bool(greedy) for _, greedy in theirs.loglikelihood(requests, disable_tqdm=True)] == [
        True,
        False,
    ]


def test_whole_texts_are_windowed_as_by_lm_eval(ours: Any, theirs: Any) -> None:
    """The second is several contexts long."""
    requests = asked("loglikelihood_rolling", (TEXT,), (TEXT * 15,), ("x",), ("",))
    wanted = theirs.loglikelihood_rolling(requests, disable_tqdm=True)
    assert ours.loglikelihood_rolling(requests) == pytest.approx(wanted, abs=1e-3)
    assert wanted[1] < 5 * wanted[0]


@pytest.mark.filterwarnings("ignore:.*max_new_tokens.*max_length.*")
def test_answers_are_those_of_transformers(ours: Any, theirs: Any) -> None:
    settings = {"until": ["."], "max_gen_toks": 20, "do_sample": False}
    prompts = ("What is NVFP4?", "The KV cache", TEXT * 20)
    requests = asked("generate_until", *((prompt, dict(settings)) for prompt in prompts))
    found = ours.generate_until(requests)
    assert found == theirs.generate_until(requests, disable_tqdm=True)
    assert all("." not in answer for answer in found)
    assert ours.truncated == 1


def test_conversations_are_rendered_as_by_transformers(ours: Any, theirs: Any) -> None:
    chat = [{"role": "user", "content": "Hi"}]
    assert ours.apply_chat_template(chat) == theirs.apply_chat_template(chat)
    begun = [*chat, {"role": "assistant", "content": "Well"}]
    got = ours.apply_chat_template(begun, add_generation_prompt=False)
    assert got == theirs.apply_chat_template(begun, add_generation_prompt=False)


class Bos:
    """A scorer whose tokenizer puts 1 before every text; ids are code points."""

    context_tokens, start_token, end_token = 8, 1, 2

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def test_a_text_begins_once() -> None:
    from localfp4.evaluate.lm_eval_model import LocalModel

    model = LocalModel(Bos())  # type: ignore[arg-type]  # only what encoding needs
    assert model.tok_encode("ab") == [1, 97, 98]
    assert model.tok_encode("\x01ab") == [1, 97, 98]
    assert model.tok_encode("ab", add_special_tokens=False) == [97, 98]
    assert model.prefix_token_id == 1


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        ("loglikelihood", ("a", ""), "likelihood of an empty continuation"),
        ("loglikelihood", ("a", TEXT * 20), r"likelihood of \d+ tokens, and the context is 192"),
        (
            "generate_until",
            ("a", {"max_gen_toks": 192}),
            "up to 192 tokens, and the context is 192",
        ),
        ("generate_until", ("a", {"do_sample": True, "temperature": 0.7}), "draws its answers"),
    ],
)
def test_what_cannot_be_run_is_refused(
    ours: Any, kind: str, arguments: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        getattr(ours, kind)(asked(kind, arguments))


def test_progress_is_told(llm: LLM) -> None:
    from localfp4.evaluate.lm_eval_model import LocalModel

    told: list[Progress] = []
    LocalModel(llm.scorer(), told.append).loglikelihood(asked("loglikelihood", *PAIRS))
    assert told == [Progress("likelihoods of tasks", len(PAIRS), len(PAIRS))]
    assert math.isfinite(told[0].done)
