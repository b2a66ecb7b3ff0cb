"""Whole models against transformers in float32, through the paged engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.config import SamplingParams
from localfp4.llm import LLM
from tests.models import tiny

pytestmark = pytest.mark.parity

TOLERANCE = 3e-5
LENGTH = 150
"""Longer than two pages, any window and the context that scaled embeddings were made for."""


@dataclass(frozen=True)
class Pair:
    """The same model on both sides, and what transformers says of one prompt."""

    theirs: Any
    ours: LLM
    ids: list[int]
    expected: torch.Tensor


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Every model that was built so far, with the folder it is saved in."""
    root = tmp_path_factory.mktemp("models")
    models = {name: tiny.build(name) for name in tiny.CONFIGS}
    return {name: (model, tiny.save(model, root / name)) for name, model in models.items()}


@pytest.fixture(scope="module", params=list(tiny.CONFIGS))
def pair(folders: dict[str, tuple[Any, Path]], request: pytest.FixtureRequest) -> Iterator[Pair]:
    theirs, folder = folders[request.param]
    ids = tiny.token_ids(LENGTH)
    with tiny.open_llm(folder) as ours:
        yield Pair(theirs, ours, ids, tiny.logits_of(theirs, ids))


def difference(ours: LLM, expected: torch.Tensor, ids: list[int]) -> float:
    logits = ours.logits(ids)
    assert logits.shape == expected.shape
    assert logits.dtype == torch.float32
    return float((logits - expected).abs().max())


def test_logits_are_those_of_transformers(pair: Pair) -> None:
    assert pair.expected.std() > 0.3, "a model that says nothing would prove nothing"
    assert difference(pair.ours, pair.expected, pair.ids) <= TOLERANCE


def test_scores_are_log_probabilities_of_the_next_token(pair: Pair) -> None:
    following = torch.tensor(pair.ids[1:]).unsqueeze(1)
    expected = pair.expected[:-1].log_softmax(-1).gather(1, following).squeeze(1)
    scores = pair.ours.score(pair.ids)
    assert scores.shape == (LENGTH - 1,)
    assert float((scores - expected).abs().max()) <= TOLERANCE


def test_token_by_token_equals_all_at_once(pair: Pair) -> None:
    """Generate over a page boundary: two prompts together, one of them with a cached prefix."""
    prompts = [pair.ids[:53], pair.ids[:7]]
    params = SamplingParams(max_tokens=24, temperature=0.0, logprobs=0, ignore_eos=True)
    answers = pair.ours.generate([{"prompt_token_ids": ids} for ids in prompts], params)
    for ids, answer in zip(prompts, answers, strict=True):
        assert answer.logprobs is not None
        assert len(answer.token_ids) == 24
        whole = tiny.logits_of(pair.theirs, ids + answer.token_ids)[len(ids) - 1 : -1]
        chosen = whole.gather(1, torch.tensor(answer.token_ids).unsqueeze(1)).squeeze(1)
        assert float((whole.amax(-1) - chosen).max()) <= 1e-4, "greedy takes the largest"
        reported = torch.tensor([logprob.logprob for logprob in answer.logprobs])
        expected = chosen - whole.logsumexp(-1)
        assert float((reported - expected).abs().max()) <= 1e-4
        rescored = pair.ours.score(ids + answer.token_ids)[len(ids) - 1 :]
        assert float((reported - rescored).abs().max()) <= 1e-4


@pytest.mark.parametrize("name", ["llama-yarn", "qwen2-sliding", "qwen3_moe-mixed"])
@pytest.mark.parametrize("chunk", [1, 61, 512])
def test_prefill_in_chunks_of_any_size(
    folders: dict[str, tuple[Any, Path]], name: str, chunk: int
) -> None:
    model, folder = folders[name]
    ids = tiny.token_ids(131, seed=1)
    with tiny.open_llm(folder, max_step_tokens=chunk) as ours:
        assert difference(ours, tiny.logits_of(model, ids), ids) <= TOLERANCE


def expert_names(tensors: dict[str, torch.Tensor], layout: str) -> dict[str, torch.Tensor]:
    """Rename the experts of a checkpoint to another exporter's layout."""
    others = {name: t for name, t in tensors.items() if ".experts." not in name}
    experts: dict[tuple[str, int, str], torch.Tensor] = {}
    for name, tensor in tensors.items():
        prefix, found, rest = name.partition(".experts.")
        if not found:
            continue
        if rest == "gate_up_proj":
            for index, both in enumerate(tensor):
                experts[prefix, index, "gate"], experts[prefix, index, "up"] = both.chunk(2)
        elif rest == "down_proj":
            experts |= {(prefix, index, "down"): one for index, one in enumerate(tensor)}
        else:
            index_text, part, _ = rest.split(".")
            experts[prefix, int(index_text), part.removesuffix("_proj")] = tensor
    assert experts
    if layout == "expert first":
        named = {f"{p}.experts.{e}.{part}_proj.weight": t for (p, e, part), t in experts.items()}
    elif layout == "part first":
        named = {f"{p}.experts.{part}_proj.{e}.weight": t for (p, e, part), t in experts.items()}
    else:
        named = {}
        for prefix in sorted({key[0] for key in experts}):
            count = 1 + max(e for p, e, _ in experts if p == prefix)
            gate, up, down = (
                torch.stack([experts[prefix, e, part] for e in range(count)])
                for part in ("gate", "up", "down")
            )
            named[f"{prefix}.experts.gate_up_proj"] = torch.cat((gate, up), dim=1)
            named[f"{prefix}.experts.down_proj"] = down
    return others | named


@pytest.mark.parametrize("layout", ["expert first", "part first", "stacked"])
def test_experts_under_every_exporters_names(
    folders: dict[str, tuple[Any, Path]], tmp_path: Path, layout: str
) -> None:
    model, folder = folders["qwen3_moe"]
    tensors = expert_names(tiny.stored(folder), layout)
    ids = tiny.token_ids(20)
    with tiny.open_llm(tiny.restored(folder, tmp_path / "model", tensors)) as ours:
        assert difference(ours, tiny.logits_of(model, ids), ids) <= TOLERANCE


def _rope(**changes: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 700.0} | changes}


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"rms_norm_eps": 1.1e-3}),
    ("llama", _rope(rope_theta=710.0)),
    ("llama-linear", _rope(rope_type="linear", factor=4.01)),
    ("llama-yarn", _rope(**YARN, attention_factor=1.0)),
    ("llama-yarn", _rope(**YARN, truncate=False)),
    ("qwen2-sliding", {"sliding_window": 9}),
    ("qwen2-sliding", {"layer_types": ["full_attention"] * 3}),
    ("qwen3_moe", {"norm_topk_prob": False}),
    ("qwen3_moe", {"num_experts_per_tok": 2}),
    ("qwen3_moe-mixed", {"use_sliding_window": False}),
]


@pytest.mark.parametrize(("name", "changes"), WRONG)
def test_a_wrong_config_is_told_apart(
    folders: dict[str, tuple[Any, Path]], tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    """The negative control: the tolerance is tight enough to see small mistakes."""
    model, folder = folders[name]
    ids = tiny.token_ids(LENGTH)
    with tiny.open_llm(tiny.edited(folder, tmp_path / "model", **changes)) as ours:
        assert difference(ours, tiny.logits_of(model, ids), ids) > 10 * TOLERANCE
