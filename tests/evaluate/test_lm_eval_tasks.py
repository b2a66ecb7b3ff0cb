"""Tasks of lm_eval from local files, without a network."""

import json
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from localfp4 import LLM
from localfp4.errors import RequestError, UserError
from localfp4.evaluate.events import Progress
from localfp4.evaluate.records import Evaluation, Result, Subject
from localfp4.evaluate.scorer import TokenScores
from localfp4.evaluate.tasks import find_tasks, run_tasks

pytestmark = [
    pytest.mark.slow,
    # What lm_eval and the libraries that it reads data with do at import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(lm_eval|datasets|evaluate|dill).*"),
]

SUBJECT = Subject("demo", "w4a16")

TEXT = "NVFP4 stores numbers in 4 bits. The KV cache keeps the keys and values of the tokens. "

CHOICES = """
task: local_choice
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""

ROLLING = """
task: local_rolling
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: byte_perplexity}]
"""

ANSWERS = """
task: local_answers
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match}]
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - {name: word, filter: [{function: regex, regex_pattern: "(BF16)"}, {function: take_first}]}
"""

GROUP = """
group: local_group
task: [local_choice]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("tasks")
    texts = ("The KV cache keeps", "Groups of 16 share a scale in", "NVFP4 stores numbers in")
    right = (" the keys and values", " FP8", " 4 bits")
    wrong = (" a banana and some milk", " the summer rain", " the big house")
    write(
        where,
        "local_choice",
        CHOICES,
        [
            {"question": text, "choices": [good, bad], "answer": 0 if number < 2 else 1}
            for number, (text, good, bad) in enumerate(zip(texts, right, wrong, strict=True))
        ],
    )
    write(where, "local_rolling", ROLLING, [{"text": TEXT}, {"text": TEXT * 12}])
    write(where, "local_answers", ANSWERS, [{"question": "What is NVFP4?", "answer": "BF16"}] * 2)
    (where / "local_group.yaml").write_text(GROUP, encoding="utf-8")
    return where


def write(folder: Path, name: str, task: str, rows: list[dict[str, Any]]) -> None:
    data = folder / f"{name}.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / f"{name}.yaml").write_text(task % data, encoding="utf-8")


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM("demo", device="cpu", max_model_len=192, threads=1) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def _offline_and_quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out an index of lm_eval's own tasks, which takes long."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    from lm_eval import tasks

    monkeypatch.setattr(tasks, "TaskManager", partial(tasks.TaskManager, include_defaults=False))


def figures(found: Evaluation) -> dict[tuple[str, str], Result]:
    return {(one.task, one.metric): one for one in found.results}


def test_choices_texts_and_answers(
    llm: LLM, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Progress] = []

    def tell(step: Progress) -> None:
        told.append(step)
        print("told", file=sys.stderr)

    names = ["local_choice", "local_rolling", "local_answers"]
    found = run_tasks(llm.scorer(), SUBJECT, find_tasks(names, folder), tell)
    by_name = figures(found)
    choice = by_name["local_choice", "accuracy"]
    assert choice.subject == SUBJECT
    assert choice.value == pytest.approx(2 / 3), "the answer key of the third is wrong"
    assert choice.stderr == pytest.approx((2 / 3 * 1 / 3 / 2) ** 0.5)
    assert type(choice.stderr) is float
    assert ("local_choice", "accuracy_norm") in by_name
    scored = sum(sum(one.logprobs) for one in rolling_scores(llm))
    size = len((TEXT * 13).encode())
    perplexity = by_name["local_rolling", "byte_perplexity"].value
    assert perplexity == pytest.approx(math.exp(-scored / size), rel=0.1)
    assert ("local_answers", "exact_match (whole)") in by_name
    assert by_name["local_answers", "exact_match (word)"].value in (0.0, 1.0)
    [items] = [one for one in found.items if (one.task, one.metric) == ("local_choice", "accuracy")]
    assert items.values == (1.0, 1.0, 0.0)
    assert len(set(items.ids)) == 3
    assert {one.stage for one in told} == {"likelihoods of tasks", "answers to tasks"}
    assert found.notes == ()
    assert capsys.readouterr().err == "told\n" * len(told), "no bars beside our own"


def rolling_scores(llm: LLM) -> list[TokenScores]:
    """Score the texts of the rolling task in windows of another size, which changes little."""
    scorer = llm.scorer()
    ids = [scorer.encode(text) for text in (TEXT, TEXT * 12)]
    windows = [
        [scorer.end_token, *one[start : start + 150]]
        for one in ids
        for start in range(0, len(one), 150)
    ]
    return scorer.scores(windows)


def test_a_group_stands_for_its_tasks_and_prompts_that_are_too_long_are_told(
    llm: LLM, folder: Path, tmp_path: Path
) -> None:
    row = {"question": TEXT * 12, "choices": [" a", " b"], "answer": 0}
    write(tmp_path, "local_choice", CHOICES, [row] * 3)
    (tmp_path / "local_group.yaml").write_text(GROUP, encoding="utf-8")
    tasks = find_tasks(["local_group"], tmp_path, limit=2)
    found = run_tasks(llm.scorer(), SUBJECT, tasks)
    assert {one.task for one in found.results} == {"local_group"}
    [items] = found.items
    assert (items.task, items.metric, len(items.values)) == ("local_group", "accuracy", 2)
    [note] = found.notes
    assert note.startswith("4 prompts of local_group were longer than the context of 192 tokens")


def test_tasks_that_cannot_run_are_refused_in_a_sentence(
    llm: LLM, folder: Path, tmp_path: Path
) -> None:
    scorer = llm.scorer()
    with pytest.raises(RequestError, match="no task local_choise; did you mean local_choice"):
        find_tasks(["local_choise"], folder)
    with pytest.raises(RequestError, match="no task mmlu; `lm_eval ls tasks` lists all"):
        find_tasks(["mmlu"], folder)
    task = CHOICES % (tmp_path / "missing.jsonl")
    runs_code = f"{CHOICES % (folder / 'local_choice.jsonl')}unsafe_code: true\n"
    for at, (source, reason) in enumerate(
        [
            (task, "Unable to find '.*missing.jsonl'"),
            (task.replace("path: json", "path: nobody/nothing"), ".*'nobody/nothing' on the Hub"),
            (runs_code, "local_choice would run code .* --unsafe-code allows it"),
        ]
    ):
        where = tmp_path / str(at)
        where.mkdir()
        (where / "bad.yaml").write_text(source, encoding="utf-8")
        with pytest.raises(UserError, match=reason):
            run_tasks(scorer, SUBJECT, find_tasks(["local_choice"], where))
