"""The Python API on a tiny model with a tokenizer and a chat template."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from localfp4 import LLM, Completion, Constraint, SamplingParams
from localfp4.engine.scheduler import Scheduler
from localfp4.errors import RequestError, UserError
from localfp4.messages import Delta, Finished, Started
from localfp4.runner.runner import Runner

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
IDS = {"prompt_token_ids": [5, 6, 7, 8]}
CHAT: list[Any] = [{"role": "user", "content": "Hello"}]


def make(model: Path, **options: Any) -> LLM:
    defaults: dict[str, Any] = {
        "max_model_len": 256,
        "kv_cache_tokens": 1024,
        "threads": 1,
        "dtype": "float32",
        "device": "cpu",
    }
    return LLM(str(model), **defaults | options)


@pytest.fixture(scope="module")
def shared(sharp_model: Path) -> Iterator[LLM]:
    with make(sharp_model) as llm:
        yield llm


@pytest.fixture
def llm(shared: LLM) -> Iterator[LLM]:
    """The shared model; every test has to leave it without a page in use."""
    yield shared
    assert_idle(shared)


def assert_idle(llm: LLM) -> None:
    engine = llm._running()
    engine.check_pages()
    assert engine.stats().kv_used_tokens == 0
    assert engine.stats().running == engine.stats().waiting == 0
    assert llm._open()._inboxes == {}


def test_answers_come_in_the_order_of_the_prompts(llm: LLM) -> None:
    prompts: list[Any] = ["Hello", IDS, "Something longer than that"]
    together = llm.generate(prompts, GREEDY)
    assert all(isinstance(answer, Completion) for answer in together)
    assert [llm.generate(prompt, GREEDY)[0] for prompt in prompts] == together
    assert len({answer.text for answer in together}) == 3


def test_text_is_the_decoded_tokens(llm: LLM, sharp_model: Path) -> None:
    import tokenizers

    backend = tokenizers.Tokenizer.from_file(str(sharp_model / "tokenizer.json"))
    [answer] = llm.generate("Hello", SamplingParams(seed=1, max_tokens=60, ignore_eos=True))
    assert answer.text == backend.decode(answer.token_ids)
    assert answer.finish_reason == "length"
    assert len(answer.token_ids) == 60


def test_no_prompts_give_no_answers(llm: LLM) -> None:
    assert llm.generate([]) == []


def test_each_prompt_may_have_its_own_parameters(llm: LLM) -> None:
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in (1, 5)]
    assert [len(a.token_ids) for a in llm.generate([IDS, IDS], params)] == [1, 5]


def test_without_parameters_the_models_own_defaults_count(llm: LLM) -> None:
    assert llm.info.sampling.temperature == 0  # do_sample: false
    prompt = {"prompt_token_ids": [n % 200 for n in range(240)]}
    assert llm.generate(prompt) == llm.generate(prompt, SamplingParams(temperature=0))


def test_token_ids_may_be_tensors_and_arrays(llm: LLM) -> None:
    expected = llm.generate(IDS, GREEDY)
    for ids in (torch.tensor([5, 6, 7, 8]), np.array([5, 6, 7, 8]), (5, 6, 7, 8)):
        assert llm.generate({"prompt_token_ids": ids}, GREEDY) == expected  # type: ignore[dict-item]


def test_chat_renders_the_template(llm: LLM) -> None:
    spelled = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert llm.chat(CHAT, GREEDY) == llm.generate(spelled, GREEDY)


def test_chat_takes_several_conversations(llm: LLM) -> None:
    other: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Bye"},
    ]
    together = llm.chat([CHAT, other], GREEDY)
    assert together == llm.chat(CHAT, GREEDY) + llm.chat(other, GREEDY)
    assert together[0] != together[1]


@pytest.mark.parametrize("prompt", ["Hello", IDS, CHAT], ids=["text", "ids", "chat"])
def test_the_pieces_of_a_stream_are_the_answer(llm: LLM, prompt: Any) -> None:
    params = SamplingParams(seed=4, max_tokens=40, ignore_eos=True, logprobs=1)
    [whole] = llm.chat(prompt, params) if prompt is CHAT else llm.generate(prompt, params)
    pieces = list(llm.stream(prompt, params))
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [token for piece in pieces for token in piece.token_ids] == whole.token_ids
    assert [entry for piece in pieces for entry in piece.logprobs] == whole.logprobs
    assert len(pieces) > 20


def test_events_begin_and_end(llm: LLM) -> None:
    events = list(llm.events(IDS, GREEDY))
    assert isinstance(events[0], Started)
    assert events[0].prompt_tokens == 4
    assert isinstance(events[-1], Finished)
    assert events[-1].output_tokens == 12
    assert events[-1].duration_s >= events[-1].ttft_s > 0
    assert all(isinstance(event, Delta) for event in events[1:-1])


def test_leaving_a_stream_early_cancels_it(llm: LLM) -> None:
    for _ in llm.stream("Hello", GREEDY):
        break
    assert_idle(llm)


def test_streams_and_calls_may_overlap(llm: LLM) -> None:
    one, other = llm.generate(["Hello", "Goodbye"], GREEDY)
    scores = llm.score([1, 2, 3])
    first, second = llm.stream("Hello", GREEDY), llm.stream("Goodbye", GREEDY)
    got_first, got_second = [next(first)], [next(second)]
    got_first.append(next(first))
    assert llm.generate("Goodbye", GREEDY) == [other]
    assert torch.allclose(llm.score([1, 2, 3]), scores)
    got_second += second
    got_first += first
    assert "".join(piece.text for piece in got_first) == one.text
    assert "".join(piece.text for piece in got_second) == other.text


def test_answers_follow_a_form(llm: LLM) -> None:
    params = SamplingParams(max_tokens=64, seed=1)
    colour = Constraint("choice", '["red", "green"]')
    [answer] = llm.chat(CHAT, params, constraint=colour)
    assert (answer.text in ("red", "green"), answer.finish_reason) == (True, "stop")
    digits = Constraint("regex", "[0-9]{3}")
    for answer in llm.generate(["The", "It"], params, constraint=digits):
        assert len(answer.text) == 3
        assert answer.text.isdecimal()
    with pytest.raises(RequestError, match="not JSON"):
        llm.generate("The", params, constraint=Constraint("json_schema", "{"))


def test_scores_are_the_gathered_log_softmax_of_the_logits(llm: LLM) -> None:
    ids = [(7 * n) % 256 for n in range(150)]
    logits = llm.logits(ids)
    assert logits.shape == (150, llm.info.vocab_size)
    assert logits.dtype == torch.float32
    expected = logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:]).unsqueeze(1))
    assert torch.allclose(llm.score(ids), expected.squeeze(1))


def test_logits_do_not_depend_on_chunks(llm: LLM, sharp_model: Path) -> None:
    ids = [(7 * n) % 256 for n in range(150)]
    with make(sharp_model, max_step_tokens=40) as chunked:
        assert torch.allclose(chunked.logits(ids), llm.logits(ids), atol=1e-4, rtol=1e-4)
        assert torch.allclose(chunked.score(ids), llm.score(ids), atol=1e-4, rtol=1e-4)


def test_greedy_answers_follow_the_logits(llm: LLM) -> None:
    [answer] = llm.generate(IDS, GREEDY)
    logits = llm.logits([*IDS["prompt_token_ids"], *answer.token_ids])
    assert logits[3:-1].argmax(-1).tolist() == answer.token_ids


def test_scores_of_one_token_and_of_a_full_context(llm: LLM) -> None:
    assert llm.score([3]).shape == (0,)
    assert llm.score([3] * 256).shape == (255,)
    assert llm.logits([3] * 256).shape == (256, llm.info.vocab_size)
    with pytest.raises(UserError, match="257 tokens"):
        llm.score([3] * 257)


def test_logprobs_are_of_the_model(llm: LLM) -> None:
    [answer] = llm.generate(IDS, SamplingParams(seed=2, max_tokens=6, ignore_eos=True, logprobs=3))
    assert answer.logprobs is not None
    assert [entry.token_id for entry in answer.logprobs] == answer.token_ids
    scores = llm.score([*IDS["prompt_token_ids"], *answer.token_ids])[3:]
    got = torch.tensor([entry.logprob for entry in answer.logprobs])
    assert torch.allclose(got, scores, atol=1e-4, rtol=1e-4)
    for entry in answer.logprobs:
        values = [value for _, value in entry.top]
        assert values == sorted(values, reverse=True)
        assert len(values) == 3
    assert llm.generate(IDS, GREEDY)[0].logprobs is None


def test_seeds_repeat_answers_and_differ(llm: LLM) -> None:
    def answer(seed: int | None) -> str:
        params = SamplingParams(seed=seed, max_tokens=12, ignore_eos=True)
        return llm.generate("Hello", params)[0].text

    assert answer(1) == answer(1)
    assert len({answer(seed) for seed in range(5)}) == 5
    assert len({answer(None) for _ in range(5)}) == 5


def test_stop_strings_end_the_answer_and_are_cut_off(llm: LLM) -> None:
    params = SamplingParams(seed=1, max_tokens=60, ignore_eos=True)
    [whole] = llm.generate("Hello", params)
    stop = whole.text[10:13]
    [cut] = llm.generate(
        "Hello", SamplingParams(seed=1, max_tokens=60, ignore_eos=True, stop=(stop,))
    )
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]


def test_stop_tokens_end_the_answer_and_are_left_out(llm: LLM) -> None:
    [whole] = llm.generate("Hello", GREEDY)
    stop = whole.token_ids[5]
    place = whole.token_ids.index(stop)
    params = SamplingParams(temperature=0, max_tokens=12, stop_token_ids=(stop,), ignore_eos=True)
    [cut] = llm.generate("Hello", params)
    assert (cut.token_ids, cut.finish_reason) == (whole.token_ids[:place], "stop")


def test_the_models_end_token_ends_unless_ignored(llm: LLM) -> None:
    forced = {257: 100.0}
    [ended] = llm.generate(IDS, SamplingParams(temperature=0, logit_bias=forced))
    assert (ended.text, ended.token_ids, ended.finish_reason) == ("", [], "stop")
    ignored = SamplingParams(temperature=0, logit_bias=forced, ignore_eos=True, max_tokens=3)
    [going_on] = llm.generate(IDS, ignored)
    assert (going_on.token_ids, going_on.finish_reason) == ([257] * 3, "length")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda llm: llm.generate(""), "empty"),
        (lambda llm: llm.generate([1, 2, 3]), "A prompt is"),
        (lambda llm: llm.generate([[1, 2, 3]]), "A prompt is"),
        (lambda llm: llm.generate({"ids": [1]}), "prompt_token_ids"),
        (lambda llm: llm.generate({"prompt_token_ids": [1.5]}), "integers"),
        (lambda llm: llm.generate({"prompt_token_ids": "abc"}), "integers"),
        (lambda llm: llm.generate({"prompt_token_ids": 7}), "integers"),
        (lambda llm: llm.generate({"prompt_token_ids": []}), "no tokens"),
        (lambda llm: llm.generate({"prompt_token_ids": [999]}), "Token id 999"),
        (lambda llm: llm.generate({"prompt_token_ids": [1] * 300}), "300 tokens"),
        (lambda llm: llm.generate(["a", ""]), "empty"),
        (lambda llm: llm.generate(["a", "b"], [GREEDY]), "2 prompts came with 1"),
        (lambda llm: llm.generate("a", {"temperature": 0}), "SamplingParams"),
        (lambda llm: llm.generate("a", 0.5), "SamplingParams"),
        (
            lambda llm: llm.generate("a", SamplingParams(max_tokens=0)),
            "max_tokens must be at least 1, not 0",
        ),
        (lambda llm: llm.chat([]), "empty"),
        (lambda llm: llm.chat("Hello"), "list of messages"),
        (lambda llm: llm.chat(["Hello"]), "list of messages"),
        (lambda llm: llm.chat(CHAT[0]), "list of messages"),
        (lambda llm: llm.chat([{"role": "user"}]), "role and content"),
        (lambda llm: llm.chat([{"role": "user", "content": None}]), "role and content"),
        (lambda llm: llm.chat([CHAT, []]), "empty"),
        (lambda llm: list(llm.stream("")), "empty"),
        (lambda llm: llm.score([]), "no tokens"),
        (lambda llm: llm.logits(["a"]), "integers"),
    ],
)
def test_bad_calls_raise_one_sentence(llm: LLM, call: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        call(llm)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float64"}, "dtype must be one of"),
        ({"kv_cache_dtype": "int8"}, "kv_cache_dtype must be one of"),
        ({"device": "quantum"}, "no device 'quantum'"),
        ({"device": "meta"}, "not supported"),
        ({"max_model_len": 0}, "max_model_len must be a whole number"),
        ({"max_model_len": 5000}, "the model was made for 1024"),
        ({"max_batch": 0}, "max_batch must be a whole number"),
    ],
)
def test_bad_options_raise_one_sentence(
    sharp_model: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        make(sharp_model, **options)
    assert "\n" not in str(error.value)


def test_an_unknown_model_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        make(tmp_path / "nothing")


def test_a_closed_model_says_so(sharp_model: Path) -> None:
    with make(sharp_model) as llm:
        stream = llm.stream("Hello", GREEDY)
        next(stream)
    llm.close()
    for call in (lambda: next(stream), lambda: llm.generate("Hello"), lambda: llm.info):
        with pytest.raises(RequestError, match="closed"):
            call()


@pytest.mark.parametrize("place", [(Runner, "launch"), (Scheduler, "commit")])
def test_an_interruption_leaves_the_engine_usable(
    llm: LLM, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    [expected] = llm.generate("Hello", GREEDY)
    paused = llm.stream("Hello", GREEDY)
    pieces = [next(paused)]
    original, calls = getattr(*place), iter(range(100))

    def interrupted(itself: Any, argument: Any) -> Any:
        result = original(itself, argument)
        if next(calls) == 4:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(*place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            llm.generate(["one", "two", "three"], GREEDY)
    pieces += paused
    assert "".join(piece.text for piece in pieces) == expected.text
    assert_idle(llm)
    assert llm.generate("Hello", GREEDY) == [expected]


def test_a_refused_prompt_cancels_its_neighbours(llm: LLM) -> None:
    with pytest.raises(UserError, match="empty"):
        llm.generate(["Hello", " ", "Goodbye"], GREEDY)
    assert_idle(llm)


def test_everything_runs_on_token_ids_without_a_tokenizer(fixtures: Path) -> None:
    with make(fixtures / "ct_qwen3_NVFP4A16") as llm:
        [answer] = llm.generate(IDS, GREEDY)
        assert answer.text == ""
        assert len(answer.token_ids) == 12
        assert llm.logits([1, 2, 3]).shape == (3, llm.info.vocab_size)
        with pytest.raises(UserError, match=r"tokenizer\.json"):
            llm.generate("Hello")


def test_tools_are_told_in_words_where_the_template_knows_none(llm: LLM) -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    with pytest.raises(RequestError, match=r"The prompt has [23]\d\d tokens"):  # one a character
        llm.chat(CHAT, GREEDY, tools=tools)


def test_conversations_come_with_a_wish_to_think(llm: LLM) -> None:
    [answer] = llm.chat(CHAT, GREEDY, thinking=False, reasoning_effort="low")
    assert answer == llm.chat(CHAT, GREEDY)[0]  # the template knows neither
    assert (answer.reasoning, answer.tool_calls) == ("", [])
    pieces = [delta.text for delta in llm.stream(CHAT, GREEDY, thinking=True)]
    assert "".join(pieces) == answer.text


@pytest.mark.parametrize("settings", [{"tools": "weather"}, {"tools": [5]}, {"thinking": "yes"}])
def test_malformed_settings_of_a_conversation_are_refused(llm: LLM, settings: Any) -> None:
    with pytest.raises(RequestError):
        llm.chat(CHAT, GREEDY, **settings)
