"""How long quantising a large model takes, from some of its layers with random weights.

    python assets/bench/quantise.py [--model qwen3-8b] [--layers 6] [--samples 128] [--length 2048]
                                    [--device cuda]

Weights are made up where they are wanted, and so are the tokens, so that nothing is downloaded:
what is timed is the loop over layers, from the first weight to the last result on the disk, as
``localfp4 quantize`` runs it. Reading weights of a real model from a disk, and writing the new
files, come on top; so does the tokenizer. Activations of the tokens lie in main memory.

Seconds per layer are those between the ends of two layers: the first layer has warmed up the device
and is left out, as is what comes before it. The estimate is that times all layers of the model.
Methods run with 4-bit weights and 16-bit activations; ``rtn`` then looks at no tokens.

What is measured, and the target each line is held to, on an NVIDIA H200 with Qwen3-8B:

- ``rtn``: at most 2 minutes;
- ``gptq`` with 128 windows of 2048 tokens: at most 25 minutes;
- the peak of device memory, CUDA's own included: at most 8 GB, and no more than was planned.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from localfp4 import __version__
from localfp4.checkpoint.synthetic.catalogue import CATALOGUE
from localfp4.checkpoint.synthetic.model import synthetic_model
from localfp4.config import EngineConfig
from localfp4.engine.device import choose_device
from localfp4.engine.footprint import Footprint
from localfp4.models.here import machine_here
from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.events import Progress
from localfp4.quantize.planning.plan import quantise_plan
from localfp4.quantize.recipe import METHODS, CalibrationSource, Recipe, Rounding
from localfp4.quantize.streaming.layers import quantise_layers
from localfp4.quantize.streaming.work import WorkFolder
from localfp4.telemetry.memory import reset_peak

MINUTES = {"rtn": 2.0, "gptq": 25.0}
"""Targets for a whole model."""

PEAK_BYTES = 8 * 10**9


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        method: Of :data:`METHODS`.
        layer_s: Seconds per layer.
        total_s: Of all layers of the model.
        peak_bytes: Most that was held on the device.
        planned_bytes: What was planned for it.
    """

    method: str
    layer_s: float
    total_s: float
    peak_bytes: int
    planned_bytes: int


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Seconds per layer of quantising a model.")
    parser.add_argument("--model", default="qwen3-8b", help="one of `localfp4 bench --synthetic`")
    parser.add_argument("--layers", type=int, default=6, help="of its first, at least 2")
    parser.add_argument("--samples", type=int, default=128, help="windows of random tokens")
    parser.add_argument("--length", type=int, default=2048, help="tokens of a window")
    parser.add_argument("--methods", nargs="+", default=list(MINUTES), choices=list(METHODS))
    parser.add_argument("--device", help="a torch device; the first GPU where there is one")
    args = parser.parse_args()
    if args.layers < 2:
        parser.error("the first layer warms up the device; take --layers 2 or more")
    model = synthetic_model(f"{args.model}:{args.layers}@bf16")
    opened, device = open_model(model), choose_device(EngineConfig(str(model), device=args.device))
    name, _ = machine_here(str(device))
    print(
        f"{name}; localfp4 {__version__}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"Python {platform.python_version()}"
    )
    published = CATALOGUE[args.model].config
    layers = published.get("text_config", published)["num_hidden_layers"]
    print(
        f"{args.model}, {args.layers} of {layers} layers; {args.samples} x {args.length} tokens\n"
    )
    source = CalibrationSource(samples=args.samples, length=args.length)
    print_table([measure(opened, method, source, device, layers) for method in args.methods])


def measure(
    opened: OpenedModel, method: str, source: CalibrationSource, device: torch.device, layers: int
) -> Line:
    """Quantise by one method, without writing a checkpoint."""
    recipe = Recipe(
        method=method,
        rounding=Rounding(METHODS[method].solver),
        rotation=16 if METHODS[method].rotates else 0,
        calibration=source,
    )
    _, machine = machine_here(str(device))
    plan = quantise_plan(opened, recipe, machine)
    if not plan.fits:
        raise SystemExit(plan.shortages[0])
    tokens = None
    if recipe.needs_calibration:
        random = torch.Generator().manual_seed(0)
        shape = source.samples, plan.length
        tokens = torch.randint(opened.spec.vocab_size, shape, generator=random)
    reset_peak(str(device))
    footprint = Footprint(device)
    ends: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        WorkFolder.open(Path(folder) / "out", "bench") as work,
    ):
        budget = plan.hessians.budget
        for event in quantise_layers(opened, recipe, tokens, work, device, budget_bytes=budget):
            if isinstance(event, Progress):
                print(f"\r{method}: {event.stage:<60}", end="", file=sys.stderr)
            now = time.perf_counter()
            ends += [now] * (len(work.finished()) - len(ends))
    print(f"\r{'':<80}\r", end="", file=sys.stderr)
    others = len(opened.spec.layers) - 1
    layer_s = (ends[others] - ends[0]) / others
    return Line(method, layer_s, layer_s * layers, footprint.peak_nbytes, plan.device_bytes)


def print_table(lines: Sequence[Line]) -> None:
    """Print the table as Markdown."""
    print("| method | s per layer | whole model | target | device peak | planned | |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for line in lines:
        minutes = MINUTES.get(line.method)
        within = line.peak_bytes <= min(PEAK_BYTES, line.planned_bytes)
        met = within and (minutes is None or line.total_s <= 60 * minutes)
        cells = (
            line.method,
            f"{line.layer_s:.2f}",
            f"{line.total_s / 60:.1f} min",
            "" if minutes is None else f"≤ {minutes:.0f} min",
            f"{line.peak_bytes / 1e9:.2f} GB",
            f"{line.planned_bytes / 1e9:.2f} GB",
            "met" if met else "**missed**",
        )
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
