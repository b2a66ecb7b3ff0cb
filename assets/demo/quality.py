"""Quantises the demo's BF16 original by every method and precision, and prints how good each is.

    python assets/demo/quality.py [--methods rtn,gptq] [--precisions w4a16] [--workdir DIR]

What the original answers on held-out text is the measure. Models that are there already are not
made again. Takes about as long as `localfp4 quantize` takes for each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORIGINAL = HERE / "bf16"
PRECISIONS = ("w4a16", "w4a8", "w4a4")
METHODS = ("rtn", "gptq", "mr-gptq", "awq", "smoothquant")
COLUMNS = {
    "perplexity_ratio": ("perplexity ratio", "{:.4f}"),
    "kl_divergence_mean": ("KL, mean", "{:.5f}"),
    "kl_divergence_p99": ("KL, 99%", "{:.4f}"),
    "top_1_agreement": ("same top token", "{:.2%}"),
}


def main() -> None:
    """Make what is missing, evaluate all together, and print a table."""
    options = _options()
    options.workdir.mkdir(parents=True, exist_ok=True)
    made = {
        (method, precision): _quantised(method, precision, options)
        for precision in options.precisions
        for method in options.methods
    }
    rows = [row for precision in options.precisions for row in _rows(made, precision, options)]
    print(_table(made, rows))


def _rows(
    made: dict[tuple[str, str], Path], precision: str, options: argparse.Namespace
) -> list[dict[str, object]]:
    """The figures of all models of a precision, run in that precision."""
    report = options.workdir / f"{precision}.json"
    models = [str(folder) for (_, made_for), folder in made.items() if made_for == precision]
    _localfp4(
        *("eval", *models, "--precision", precision, "--reference", str(ORIGINAL)),
        *("--text", str(HERE / "heldout.txt"), "--tokens", str(options.tokens)),
        *("--out", str(report)),
    )
    rows: list[dict[str, object]] = json.loads(report.read_text("utf-8"))["rows"]
    return rows


def _quantised(method: str, precision: str, options: argparse.Namespace) -> Path:
    out: Path = options.workdir / f"{method}-{precision}"
    if not out.exists():
        recipe = ("--method", method, "--precision", precision, *options.extra.split())
        _localfp4("quantize", str(ORIGINAL), *recipe, "--out", str(out))
    return out


def _localfp4(*arguments: str) -> None:
    print("localfp4", *arguments, file=sys.stderr)
    command = [sys.executable, "-m", "localfp4", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _table(made: dict[tuple[str, str], Path], rows: list[dict[str, object]]) -> str:
    found = {(row["model"], row["metric"]): row["value"] for row in rows}
    names = [name for name, _ in COLUMNS.values()]
    lines = [
        "| precision | method | " + " | ".join(names) + " |",
        "|---|---|" + "--:|" * len(names),
    ]
    for (method, precision), folder in made.items():
        values = (form.format(found[str(folder), metric]) for metric, (_, form) in COLUMNS.items())
        lines.append(f"| {precision} | {method} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--methods", type=_words, default=METHODS)
    parser.add_argument("--precisions", type=_words, default=PRECISIONS)
    parser.add_argument("--tokens", type=int, default=16384, help="of the held-out text")
    parser.add_argument("--extra", default="", help="more options of quantize, in quotes")
    parser.add_argument(
        "--workdir", type=Path, default=Path(tempfile.gettempdir()) / "localfp4-quality"
    )
    return parser.parse_args()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    main()
