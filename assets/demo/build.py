"""Builds the demo model from nothing: tokenizer, corpus, training, export. One command, seeded.

    python assets/demo/build.py

Run again after an interruption it resumes. `--steps` and `--minutes` shorten the training.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from recipe.conversation import BROAD, COPYING, Mix  # noqa: E402
from recipe.corpus import Rows, chat_text, conversations, heldout_text, pack  # noqa: E402
from recipe.export import export  # noqa: E402
from recipe.model import Shape  # noqa: E402
from recipe.quantised import write_quantised  # noqa: E402
from recipe.tokenizer import train_tokenizer  # noqa: E402
from recipe.train import Plan, Trainer  # noqa: E402

STEPS = 1587
TOKENIZER_SEED, HELDOUT_SEED = 11, 14
HELDOUT_CHARACTERS = 60_000


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own text: until which step, how much at once, which mix."""

    until: float
    batch_tokens: int
    mix: Mix
    seed: int
    rows: int
    long_rows: int


STAGES = (
    Stage(430, 8192, BROAD, 12, 26000, 2000),
    Stage(math.inf, 4096, COPYING, 22, 12000, 1000),
)


def main() -> None:
    """Go through the recipe, leaving out what is already done."""
    options = _options()
    options.workdir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.quantise_only:
        write_quantised(options.out, options.workdir, options.threads)
        return
    shape = Shape()
    tokenizer = _tokenizer(options.workdir / "tokenizer.json", shape.vocab)
    plan = Plan(steps=options.steps, minutes=options.minutes)
    trainer = Trainer(shape, plan, options.workdir)
    for number, stage in enumerate(STAGES):
        if trainer.progress() < 1 and trainer.step < stage.until and not options.export_only:
            folder = options.workdir / f"stage{number}"
            rows, long_rows = _rows(folder, tokenizer, stage, options.corpus)
            trainer.run(rows, long_rows, stage.batch_tokens, stage.until)
    export(trainer.network, tokenizer, options.out)
    write_quantised(options.out, options.workdir, options.threads)
    (options.out / "heldout.txt").write_text(
        heldout_text(HELDOUT_SEED, HELDOUT_CHARACTERS), "utf-8"
    )
    print(
        f"exported to {options.out} after {trainer.step} steps, {trainer.tokens / 1e6:.1f}M tokens, {trainer.seconds / 60:.0f} min"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument(
        "--corpus", type=float, default=1.0, help="share of the full corpus to generate"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workdir", type=Path, default=HERE / "build")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--export-only", action="store_true", help="export the checkpoint as it is")
    parser.add_argument(
        "--quantise-only", action="store_true", help="make the shipped form of the original anew"
    )
    return parser.parse_args()


def _tokenizer(file: Path, vocab: int) -> Tokenizer:
    if not file.exists():
        texts = (chat_text(messages) for messages in islice(conversations(TOKENIZER_SEED), 12000))
        train_tokenizer(texts, vocab).save(str(file))
    return Tokenizer.from_file(str(file))


def _rows(folder: Path, tokenizer: Tokenizer, stage: Stage, share: float) -> tuple[Rows, Rows]:
    """The stage's text, most of it in rows of 512 tokens and some in rows of 1024."""
    folder.mkdir(exist_ok=True)
    loaded = []
    for name, seed, count, length in (
        ("rows", stage.seed, stage.rows, 512),
        ("long", stage.seed + 1, stage.long_rows, 1024),
    ):
        file = folder / f"{name}.npz"
        if not file.exists():
            source = conversations(seed, name == "long", stage.mix)
            pack(tokenizer, source, max(16, int(count * share)), length).save(file)
        loaded.append(Rows.load(file))
    return loaded[0], loaded[1]


if __name__ == "__main__":
    main()
