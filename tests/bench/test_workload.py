from random import Random

import pytest

from localfp4.bench.workload import Case, cases, requests
from localfp4.config import SamplingParams
from localfp4.messages import ModelInfo


def model(max_model_len: int = 1024, kv_cache_tokens: int = 1024) -> ModelInfo:
    return ModelInfo(
        name="m",
        family="qwen3",
        parameters=1,
        weight_format="BF16",
        kernel_path="torch",
        device="cpu",
        dtype="float32",
        max_model_len=max_model_len,
        kv_cache_tokens=kv_cache_tokens,
        weight_bytes=1,
        kv_cache_bytes=1,
        load_s=0.1,
        has_chat_template=False,
        sampling=SamplingParams(),
        vocab_size=300,
    )


def test_every_combination_once() -> None:
    made = cases([1, 8], [16, 32], [4])
    assert made == [Case(1, 16, 4), Case(1, 32, 4), Case(8, 16, 4), Case(8, 32, 4)]


@pytest.mark.parametrize(
    ("case", "tokens"),
    [(Case(1, 60, 5), 64), (Case(1, 60, 6), 128), (Case(3, 64, 1), 192), (Case(2, 1, 1), 128)],
)
def test_cache_is_counted_in_whole_pages(case: Case, tokens: int) -> None:
    assert case.kv_tokens == tokens


def test_a_case_at_the_edge_of_the_context_fits() -> None:
    assert Case(1, 1000, 24).misfit(model()) is None
    assert "1025 tokens exceed the context of 1024" in (Case(1, 1000, 25).misfit(model()) or "")


def test_a_batch_that_would_have_to_queue_does_not_fit() -> None:
    assert Case(8, 64, 65).misfit(model()) is None
    assert "KV cache of 1024" in (Case(9, 64, 65).misfit(model()) or "")


def test_prompts_are_exact_repeatable_and_within_the_vocabulary() -> None:
    case = Case(4, 200, 7)
    drawn = requests(case, 300, Random(1))
    assert drawn == requests(case, 300, Random(1))
    assert drawn != requests(case, 300, Random(2))
    prompts = [request.token_ids or () for request in drawn]
    assert [len(prompt) for prompt in prompts] == [200] * 4
    assert len(set(prompts)) == 4
    assert {token for prompt in prompts for token in prompt} <= set(range(300))
    assert max(max(prompt) for prompt in prompts) > 250
    assert {(r.sampling.max_tokens, r.sampling.ignore_eos) for r in drawn} == {(7, True)}
    assert len({request.id for request in drawn}) == 4


def test_prompts_follow_their_depth_and_answers_may_end_where_they_are_allowed_to() -> None:
    drawn = requests(Case(2, 10, 7, depth=64), 300, Random(1), ignore_eos=False)
    assert [len(request.token_ids or ()) for request in drawn] == [74, 74]
    assert not any(request.sampling.ignore_eos for request in drawn)
