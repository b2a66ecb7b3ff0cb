"""Asks the demo its held-out questions through localfp4 and prints the share answered correctly.

    python assets/demo/grade.py [MODEL] [-o md|json] [--failures]

The rule of each category is stated in `recipe/grading.py`. Answers are greedy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from localfp4 import LLM
from localfp4.config import SamplingParams
from localfp4.messages import ChatMessage

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from recipe.facts import load_facts  # noqa: E402
from recipe.grading import Item, held_out_items  # noqa: E402

GREEDY = SamplingParams(temperature=0.0, max_tokens=200)


def main() -> None:
    """Grade one model and print its table."""
    options = _options()
    items = held_out_items(load_facts(), options.seed, options.per_fact, options.others)
    with LLM(str(options.model), threads=options.threads) as llm:
        answers = [done.text for done in llm.chat([_chat(item) for item in items], GREEDY)]
    correct = [item.correct(answer) for item, answer in zip(items, answers, strict=True)]
    print(_json(items, correct) if options.output == "json" else _table(items, correct))
    if options.failures:
        for item, answer, right in zip(items, answers, correct, strict=True):
            if not right:
                print(
                    f"\n[{item.category} {item.subject}] {item.messages[-1]['content']}\n  -> {answer}"
                )


def _chat(item: Item) -> list[ChatMessage]:
    return [ChatMessage(role=m["role"], content=m["content"]) for m in item.messages]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=HERE / "localfp4_demo")
    parser.add_argument("-o", "--output", choices=("md", "json"), default="md")
    parser.add_argument("--failures", action="store_true", help="print every wrong answer")
    parser.add_argument("--per-fact", type=int, default=5)
    parser.add_argument("--others", type=int, default=150, help="questions of each other category")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def _counts(items: list[Item], correct: list[bool]) -> dict[str, tuple[int, int]]:
    asked = Counter(item.category for item in items)
    right = Counter(item.category for item, ok in zip(items, correct, strict=True) if ok)
    return {name: (right[name], asked[name]) for name in asked} | {
        "all": (sum(correct), len(items))
    }


def _table(items: list[Item], correct: list[bool]) -> str:
    rows = [
        f"| {name} | {asked} | {right / asked:.1%} |"
        for name, (right, asked) in _counts(items, correct).items()
    ]
    return "\n".join(["| category | questions | correct |", "|---|---|---|", *rows])


def _json(items: list[Item], correct: list[bool]) -> str:
    rows = [
        {"category": name, "questions": asked, "correct": right}
        for name, (right, asked) in _counts(items, correct).items()
    ]
    return json.dumps({"rows": rows}, indent=2)


if __name__ == "__main__":
    main()
