"""transformers as a contestant, on a model of one layer."""

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.transformers import Transformers, load
from localfp4.bench.workload import Case, requests

MODEL = Path(__file__).parents[1] / "fixtures" / "checkpoints" / "m_qwen3"


def loaded(loading: Loading) -> Transformers:
    while True:
        try:
            next(loading)
        except StopIteration as end:
            contestant: Transformers = end.value
            return contestant


def test_a_batch_is_answered_greedily_to_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    contestant = loaded(load(str(MODEL), "float32", "cpu", threads=1))
    about = contestant.about
    assert (about.family, about.device, about.dtype) == ("qwen3", "cpu", "float32")
    assert about.vocab_size == 256
    # Embedding and output projection are one; the frequencies of RoPE are no parameters.
    assert about.weight_bytes == 4 * (about.parameters or 0) + 2 * 4 * 8

    answers: list[Any] = []
    generate = contestant.model.generate

    def kept(ids: torch.Tensor, **options: Any) -> torch.Tensor:
        made: torch.Tensor = generate(ids, **options)
        answers.append((ids, made))
        return made

    monkeypatch.setattr(contestant.model, "generate", kept)
    # Whatever the model says ends its answers: all of them go on.
    contestant.model.config.eos_token_id = list(range(256))
    case = Case(batch=2, input_tokens=5, output_tokens=7, depth=64)
    measured = contestant.run(case, "0 1")
    ((ids, made),) = answers
    drawn = requests(case, 256, Random("0 1"))
    assert ids.tolist() == [list(request.token_ids or ()) for request in drawn]
    with torch.inference_mode():
        logits = contestant.model(made).logits
    # The context that was computed before is the same as one that is computed now.
    assert made[:, 69:].tolist() == logits[:, 68:-1].argmax(-1).tolist()
    assert {name: len(times) for name, times in measured.arrivals.items()} == {
        "bench-0": 7,
        "bench-1": 7,
    }
    times = list(measured.arrivals["bench-0"])
    assert times == sorted(times)
    assert times[0] > 0
    assert measured.prompt_tokens == 10
    assert measured.memory_bytes

    with pytest.raises(CaseFailedError, match=r"exceed the context of 32768$") as long:
        contestant.run(Case(1, 32768, 1), "0")
    assert long.value.status == "does_not_fit"
    contestant.close()
    contestant.close()


def test_a_model_that_it_cannot_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nobody-knows"}', "utf-8")
    with pytest.raises(CaseFailedError, match=r"^transformers failed to load the model: \w+: "):
        loaded(load(str(tmp_path), "float32", "cpu", threads=1))


def test_no_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CaseFailedError, match=r"^transformers is not installed") as missing:
        loaded(load(str(MODEL), "float32", "cpu", threads=1))
    assert missing.value.status == "missing"
