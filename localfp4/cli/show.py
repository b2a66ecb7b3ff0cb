"""``localfp4 show``: what a model is, how its weights are stored, and what would run them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from localfp4.checkpoint.display import size
from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.inventory import Weights
from localfp4.cli.completing.values import model_names
from localfp4.cli.looking import download_bytes, download_in_words, looked_at
from localfp4.cli.synthetic_option import chosen_model, synthetic_option
from localfp4.config import PRECISIONS
from localfp4.models.kernel_choice import CARDS, KernelChoice, is_multiplied, kernel_choices
from localfp4.models.report import ModelReport, report
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment
from localfp4.text.sanitize import sanitize

_NEWEST = "RTX 50"


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@synthetic_option
@click.option("--kernels", is_flag=True, help="Tell what multiplies with each weight, and why.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Width that is asked for, with --kernels.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(
    model: str | None, synthetic: str | None, kernels: bool, precision: str, as_json: bool
) -> None:
    """Describe a model without reading its weights.

    MODEL is demo (bundled, and meant where none is named), a folder, a short name such as qwen3:8b,
    or a Hugging Face id, of which no more than headers is downloaded.
    """
    name = chosen_model(model, synthetic)
    source = looked_at(name)
    found = report(source)
    is_tied = all(one.name != "lm_head" for one in found.weights)
    chosen = [
        kernel_choices(one, precision) if kernels and is_multiplied(one, is_tied) else []
        for one in found.weights
    ]
    others = _operators(source, precision) if kernels else None
    if as_json:
        click.echo(json.dumps(_as_object(name, source, found, chosen, others)))
        return
    lines = [name, *_facts(found), *_download(source), "", *_weights(found.weights)]
    if others is not None:
        lines += ["", *_kernels(found.weights, chosen), "", *_in_words(others)]
    click.echo("\n".join(sanitize(line).rstrip() for line in lines))


def _operators(source: Source, precision: str) -> dict[str, list[str]]:
    """Return what a step launches on the newest card, by who wrote it; this imports torch."""
    try:
        from localfp4.engine.survey import survey
    except ImportError:  # Triton has no package for this system
        return {}
    found = survey(source, CARDS[_NEWEST], precision)
    return {"triton": list(found.kernels), "torch": list(found.torch)}


def _in_words(others: Mapping[str, Sequence[str]]) -> list[str]:
    if not others:
        return ["Triton is not installed, so what else a step launches cannot be told."]
    return [
        f"A step on {_NEWEST} launches",
        f"  kernels of localfp4: {', '.join(others['triton'])}",
        f"  operators of torch:  {', '.join(others['torch'])}",
    ]


def _facts(found: ModelReport) -> list[str]:
    spec = found.spec
    facts = [("family", spec.family), ("parameters", _count(found.parameters))]
    facts.append(("weights", f"{found.weight_format}, {size(found.file_bytes)}"))
    facts += [("" if number else "layers", words) for number, words in enumerate(found.layers)]
    facts.append(("context", f"{spec.max_context} tokens"))
    wide, narrow = found.kv_bytes_per_token["bfloat16"], found.kv_bytes_per_token["fp8"]
    facts.append(("KV cache", f"{size(wide)} a token in 16 bits, {size(narrow)} in fp8"))
    if found.state_bytes:
        facts.append(("state", f"{size(found.state_bytes)} a sequence, whatever its length"))
    if found.left_out:
        facts.append(("left out", f"{', '.join(found.left_out)}: only text is run"))
    return [f"  {name:<12}{value}" for name, value in facts]


def _download(source: Source) -> list[str]:
    missing = download_in_words(source)
    return [f"  {'files':<12}{missing}"] if missing else []


def _weights(weights: Sequence[Weights]) -> list[str]:
    rows = [("weights", "stored as", "shape", "count", "size")]
    rows += [
        (one.name, one.description, _shape(one.shape), str(one.count), size(one.nbytes))
        for one in weights
    ]
    return _aligned(rows)


def _kernels(weights: Sequence[Weights], chosen: Sequence[Sequence[KernelChoice]]) -> list[str]:
    """Return a row per weight: what multiplies one token, more tokens, and prompts."""
    rows = [("kernels (1 token, more, prefill)", *CARDS)]
    notes: list[str] = []
    for one, choices in zip(weights, chosen, strict=True):
        if not choices:
            rows.append((one.name, *("not multiplied" for _ in CARDS)))
            continue
        cells = []
        for card in CARDS:
            own = [choice for choice in choices if choice.card == card]
            reasons = dict.fromkeys(reason for choice in own for reason in choice.reasons)
            notes += [reason for reason in reasons if reason not in notes]
            marks = "".join(f"[{notes.index(reason) + 1}]" for reason in reasons)
            cells.append(f"{', '.join(choice.kernel for choice in own)} {marks}")
        rows.append((one.name, *cells))
    return [*_aligned(rows), "", *(f"[{n}] {note}" for n, note in enumerate(notes, 1))]


def _as_object(
    model: str,
    source: Source,
    found: ModelReport,
    chosen: Sequence[Sequence[KernelChoice]],
    others: Mapping[str, Sequence[str]] | None,
) -> dict[str, Any]:
    return {
        "environment": asdict(environment(usable_cores())),
        "model": {
            "name": model,
            "family": found.spec.family,
            "parameters": found.parameters,
            "weight_format": found.weight_format,
            "file_bytes": found.file_bytes,
            "download_bytes": download_bytes(source),
            "layers": list(found.layers),
            "max_context_tokens": found.spec.max_context,
            "kv_bytes_per_token": found.kv_bytes_per_token,
            "state_bytes": found.state_bytes,
            "left_out": list(found.left_out),
            "operators": others,
        },
        "rows": [
            {
                "name": one.name,
                "stored_as": one.description,
                "shape": list(one.shape),
                "count": one.count,
                "bytes": one.nbytes,
                "kernels": [asdict(choice) for choice in choices],
            }
            for one, choices in zip(found.weights, chosen, strict=True)
        ],
    }


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _count(parameters: int) -> str:
    if parameters >= 10**8:
        return f"{parameters / 1e9:.2f} billion"
    return f"{parameters / 1e6:.2f} million"
