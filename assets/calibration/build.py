"""Builds the text that models read while they are quantised, and another that tells how good they are.

    python assets/calibration/build.py

One command, seeded. Nothing is in both texts.
Everything is the project's own: `texts/` was written for this, conversations and stories come from
the demo's grammar, tables and sums from `generated.py`, code and documentation from the tree. These
change, so that a text built later differs; the one that is shipped is what models are calibrated with.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "localfp4" / "quantize" / "calibration" / "builtin.jsonl"
HELD_OUT = ROOT / "localfp4" / "evaluate" / "builtin.txt"
sys.path[:0] = [str(HERE), str(ROOT / "assets" / "demo")]

from generated import logs, structured, sums, tables, word_problems  # noqa: E402

from recipe.conversation import Talker  # noqa: E402
from recipe.facts import load_facts  # noqa: E402

TALK_SEED = 31
PART = 12_000
"""Characters of a part of a long file, so that no window is of one file only."""

DOCUMENTATION = ("README.md", "CONTRIBUTING.md", "kernels/README.md", "assets/demo/README.md")
CODE = (
    "localfp4/engine/scheduler.py",
    "localfp4/engine/blocks.py",
    "localfp4/text/detokenizer.py",
    "localfp4/text/conversation.py",
    "localfp4/checkpoint/headers.py",
    "localfp4/checkpoint/index.py",
    "localfp4/models/rope.py",
    "localfp4/models/plan/choose.py",
    "localfp4/telemetry/cards.py",
    "localfp4/history/database.py",
    "kernels/localfp4_kernels/linear/w4a16.py",
    "kernels/localfp4_kernels/attention/decode.py",
    "kernels/localfp4_kernels/formats/nvfp4.py",
    "tests/engine/test_blocks.py",
    "tui/localfp4_tui/widgets/transcript.py",
    "tui/localfp4_tui/screens/chat.tcss",
    "pyproject.toml",
)
HELD_OUT_TEXTS = ("places.md", "science.md")
HELD_OUT_CONVERSATIONS = 4
HELD_OUT_FILES = (
    "CHANGELOG.md",
    "localfp4/engine/engine.py",
    "localfp4/models/decoder.py",
    "kernels/localfp4_kernels/moe/route.py",
    "tests/engine/test_scheduler.py",
)
DEMO_PART = 20_000
"""Characters of the demo's held-out text: it is all that the demo knows."""

Record = dict[str, Any]


def main() -> None:
    """Write the file and tell what is in it."""
    lines, sizes = [], {}
    for kind, records in kinds().items():
        made = [json.dumps(record, ensure_ascii=False) for record in records]
        sizes[kind] = sum(len(line.encode()) for line in made)
        lines += made
    OUT.write_text("\n".join(lines) + "\n", "utf-8")
    for kind, size in sizes.items():
        print(f"{kind:<15}{size:>9} bytes")
    print(f"{'all':<15}{OUT.stat().st_size:>9} bytes in {len(lines)} documents, {OUT}")
    HELD_OUT.write_text("\n\n".join(held_out()) + "\n", "utf-8")
    print(f"{'held out':<15}{HELD_OUT.stat().st_size:>9} bytes, {HELD_OUT}")


def held_out() -> Iterator[str]:
    """The parts of the other text, the shortest first: an evaluation may read the beginning only."""
    conversations = [*_written_conversations()][-HELD_OUT_CONVERSATIONS:]
    for one in conversations:
        yield "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in one["messages"])
    for name in HELD_OUT_TEXTS:
        yield (HERE / "texts" / name).read_text("utf-8").strip()
    yield (ROOT / "assets" / "demo" / "heldout.txt").read_text("utf-8")[:DEMO_PART].strip()
    for text in (*islice(tables(51), 4), *islice(structured(52), 4), *islice(logs(53), 2)):
        yield text.strip()
    for name in HELD_OUT_FILES:
        yield (ROOT / name).read_text("utf-8")[:PART].strip()


def kinds() -> dict[str, Iterable[Record]]:
    """The parts of the text, by what they are."""
    return {
        "prose": _texts(
            path
            for path in sorted((HERE / "texts").glob("*.md"))
            if path.name not in HELD_OUT_TEXTS
        ),
        "conversations": [*_written_conversations()][:-HELD_OUT_CONVERSATIONS],
        "demo": _up_to(130_000, _demo_conversations()),
        "documentation": _texts(ROOT / name for name in DOCUMENTATION),
        "code": _texts(ROOT / name for name in CODE),
        "tables": _up_to(45_000, ({"text": text} for text in tables(41))),
        "structured": _up_to(35_000, ({"text": text} for text in structured(42))),
        "logs": _up_to(20_000, ({"text": text} for text in logs(43))),
        "sums": _up_to(20_000, ({"text": text} for text in sums(44))),
        "word problems": _up_to(30_000, ({"messages": turns} for turns in word_problems(45))),
    }


def _texts(paths: Iterable[Path]) -> Iterator[Record]:
    """Files, cut into parts at paragraphs."""
    for path in paths:
        part = ""
        for paragraph in path.read_text("utf-8").split("\n\n"):
            part += paragraph + "\n\n"
            if len(part) > PART:
                yield {"text": part}
                part = ""
        if part.strip():
            yield {"text": part}


def _written_conversations() -> Iterator[Record]:
    turns = tomllib.loads((HERE / "texts" / "conversations.toml").read_text("utf-8"))
    for one in turns["conversation"]:
        roles = ("user", "assistant")
        said = [{"role": roles[at % 2], "content": text} for at, text in enumerate(one["turns"])]
        yield {"messages": said}


def _demo_conversations() -> Iterator[Record]:
    """Conversations as the demo was trained with, and none of those that it is graded with."""
    talker = Talker(load_facts(), TALK_SEED)
    for _ in islice(iter(int, 1), 100_000):
        yield {"messages": talker.conversation()}


def _up_to(size: int, records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        size -= len(json.dumps(record, ensure_ascii=False))
        if size < 0:
            return
        yield record


if __name__ == "__main__":
    main()
