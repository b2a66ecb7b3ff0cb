"""What a model thinks of many texts at once, and the view that evaluations have of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch

from localfp4 import LLM, SamplingParams
from localfp4.errors import RequestError, UserError
from localfp4.evaluate.scorer import Generation, Scorer, TokenScores
from localfp4.runner.runner import Runner
from localfp4.runner.work import Work
from tests.models import tiny

CHAT = [{"role": "user", "content": "Hello"}]


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
def llm(sharp_model: Path) -> Iterator[LLM]:
    with make(sharp_model, prefix_caching=False) as shared:
        yield shared


def text(count: int, seed: int = 0) -> list[int]:
    return tiny.token_ids(count, vocab=250, seed=seed)


def by_hand(llm: LLM, ids: list[int], given: int = 1) -> tuple[list[float], list[bool]]:
    logits = llm.logits(ids)[given - 1 : -1].double()
    following = torch.tensor(ids[given:])
    logprobs = logits.log_softmax(-1).gather(1, following.unsqueeze(1)).squeeze(1)
    return logprobs.tolist(), (logits.argmax(-1) == following).tolist()


def check(found: TokenScores, wanted: tuple[list[float], list[bool]]) -> None:
    assert found.logprobs == pytest.approx(wanted[0], abs=1e-5)
    assert list(found.is_greedy) == wanted[1]


def greedy_text(llm: LLM, start: int, count: int) -> list[int]:
    """Return a text that the model itself would write, so that most of it is greedy."""
    params = SamplingParams(temperature=0, max_tokens=count - 1, ignore_eos=True)
    [answer] = llm.generate({"prompt_token_ids": [start]}, params)
    return [start, *answer.token_ids]


def test_many_texts_are_scored_as_each_alone(llm: LLM) -> None:
    texts = [text(count, seed) for seed, count in enumerate((2, 70, 9, 150))]
    texts.append([*greedy_text(llm, 5, 20), *text(5)])
    found = llm.scores(texts)
    for ids, scores in zip(texts, found, strict=True):
        assert len(scores.logprobs) == len(scores.is_greedy) == len(ids) - 1
        check(scores, by_hand(llm, ids))
    assert True in found[-1].is_greedy
    assert False in found[-1].is_greedy
    assert found[3].logprobs == pytest.approx(llm.score(texts[3]).tolist(), abs=1e-5)


@pytest.mark.parametrize("given", [1, 63, 64, 65, 140, 149])
def test_only_what_is_not_given_is_scored(llm: LLM, given: int) -> None:
    [found] = llm.scores([text(150)], [given])
    check(found, by_hand(llm, text(150), given))


def test_beginnings_that_texts_share_are_computed_once(
    llm: LLM, sharp_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    launch = Runner.launch

    def counting(self: Runner, work: list[Work]) -> Any:
        computed.append(sum(item.end - item.start for item in work))
        return launch(self, work)

    monkeypatch.setattr(Runner, "launch", counting)
    texts = [[*text(140), *text(5, seed)] for seed in range(4)]
    with make(sharp_model, max_step_tokens=145) as sharing:
        computed.clear()
        found = sharing.scores(texts, [140] * 4)
        assert sum(computed) == 145 + 3 * (145 - 128)
        computed.clear()
        sharing.scores(texts[:1])
        assert sum(computed) == 145, "what must be scored must be computed"
    for ids, scores in zip(texts, found, strict=True):
        check(scores, by_hand(llm, ids, 140))


@pytest.mark.parametrize("prefix_caching", [True, False])
def test_neither_chunks_nor_preemption_change_scores(
    llm: LLM, sharp_model: Path, prefix_caching: bool
) -> None:
    """Four pages are too few for all texts at once."""
    texts = [[*text(100), *text(30, seed)] for seed in range(5)]
    options = {"kv_cache_tokens": 256, "max_step_tokens": 40, "prefix_caching": prefix_caching}
    with make(sharp_model, **options) as small:
        for ids, scores in zip(texts, small.scores(texts, [90] * 5), strict=True):
            check(scores, by_hand(llm, ids, 90))


@pytest.mark.parametrize(
    ("texts", "given", "sentence"),
    [
        ([[3]], None, "1 tokens of which 1 are given"),
        ([[3, 4, 5]], [3], "3 tokens of which 3 are given"),
        ([[3, 4, 5]], [0], "3 tokens of which 0 are given"),
        ([[3] * 257], None, "257 tokens"),
        ([[3, 5000]], None, "Token id 5000 is not in the vocabulary"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    llm: LLM, texts: list[list[int]], given: list[int] | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        llm.scores(texts, given)
    assert llm.scores([]) == []
    check(llm.scores([text(9)])[0], by_hand(llm, text(9)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lfm2", "qwen3_5", "gemma3"])
def test_recurrent_states_and_windows_go_on_from_what_is_shared(tmp_path: Path, name: str) -> None:
    """An answer leaves a snapshot of its beginning behind."""
    model = tiny.build(name)
    folder = tiny.save(model, tmp_path / "model")
    shared = tiny.token_ids(140)
    texts = [[*shared, *tiny.token_ids(5, seed=seed)] for seed in range(3)]
    with tiny.open_llm(folder, 64, context=192) as llm:
        llm.generate(
            {"prompt_token_ids": shared},
            SamplingParams(temperature=0, max_tokens=4, ignore_eos=True),
        )
        found = llm.scores(texts, [140] * 3)
    for ids, scores in zip(texts, found, strict=True):
        logits = tiny.logits_of(model, ids)[139:-1].log_softmax(-1)
        wanted = logits.gather(1, torch.tensor(ids[140:]).unsqueeze(1)).squeeze(1)
        assert scores.logprobs == pytest.approx(wanted.tolist(), abs=1e-3)


def test_a_scorer_continues_and_renders_as_the_model_does(llm: LLM) -> None:
    scorer: Scorer = llm.scorer()
    assert scorer.context_tokens == 256
    assert scorer.encode("Hello") == llm.scorer().encode("Hello")
    prompts = [Generation((5, 6, 7), 9), Generation((8, 9), 12, ("e",))]
    answers = llm.generate(
        [{"prompt_token_ids": one.prompt} for one in prompts],
        [SamplingParams(temperature=0, max_tokens=n.max_tokens, stop=n.stop) for n in prompts],
    )
    assert scorer.generate(prompts) == [answer.text for answer in answers]
    assert scorer.generate([]) == []
    assert scorer.scores([text(9)], [4]) == llm.scores([text(9)], [4])
    [logits] = scorer.logits([text(9)])
    assert torch.equal(logits, llm.logits(text(9)))


def test_a_scorer_renders_conversations(llm: LLM) -> None:
    scorer = llm.scorer()
    asked = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert scorer.chat_text(CHAT) == asked
    begun = [*CHAT, {"role": "assistant", "content": "I am"}]
    assert scorer.chat_text(begun) == f"{asked}I am"


def test_tokens_that_begin_and_separate_texts(sharp_model: Path, tmp_path: Path) -> None:
    with make(sharp_model) as plain:
        assert plain.scorer().start_token is None
        with pytest.raises(RequestError, match="names no token that begins or ends a text"):
            _ = plain.scorer().end_token
    folder = tmp_path / "with-bos"
    shutil.copytree(sharp_model, folder)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin, end = (backend.token_to_id(f"<|im_{name}|>") for name in ("start", "end"))
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", begin)]
    )
    backend.save(str(folder / "tokenizer.json"))
    tiny.write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    with make(folder) as named:
        assert named.scorer().start_token == begin
        assert named.scorer().end_token == end
        assert named.scorer().encode("a") == [backend.token_to_id("a")]


def test_a_model_without_a_tokenizer_cannot_be_evaluated_on_text(
    sharp_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(sharp_model, folder)
    (folder / "tokenizer.json").unlink()
    with make(folder) as bare, pytest.raises(UserError, match=r"has no tokenizer\.json"):
        bare.scorer()
