"""localfp4 and Hugging Face transformers side by side on this computer's CPU, in one run.

    python assets/bench/versus_transformers.py [--threads N] [--repeats 5] [--tokens 128]

Both run the bundled demo: transformers its BF16 original (``assets/demo/bf16``) through
``generate``, greedily, with its KV cache, in float32 and in bfloat16, of which the faster counts;
localfp4 the NVFP4 checkpoint that it ships. Same number of threads, same prompts, answers of the
same length. Contestants take turns within every repeat, so that a machine that slows down slows
both; the table has medians. Needs the extra ``test``.

What is measured, and the target each line is held to:

- decode at batch 1: at least 1.4 times transformers' tokens/s;
- decode at batch 8: at least 3 times our own batch 1;
- first token of a cold process, ``localfp4 run demo hi`` against the shortest transformers script
  that prints one: from the start of the process to the first byte on standard output, no later;
- ``localfp4 --help``: at most 0.2 s;
- loading a BF16 checkpoint of about 1 GB with random weights, made in a temporary folder: the
  peak of resident memory at most 1.3 times what stays.

Decode is the tokens after the first, of the whole batch, over the time they took.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch

from localfp4.bench.engines import ours, transformers
from localfp4.bench.engines.contestant import Contestant, Loading
from localfp4.bench.figures import figures
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.telemetry.cpu import cpu_name, usable_cores

ORIGINAL = Path(__file__).parents[1] / "demo" / "bf16"
BATCHES = (1, 8)
DTYPES = ("float32", "bfloat16")

TRANSFORMERS_FIRST_TOKEN = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(int(sys.argv[2]))
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
ids = tokenizer.apply_chat_template(
    [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_tensors="pt"
)["input_ids"]
with torch.inference_mode():
    print(tokenizer.decode(model(ids).logits[0, -1].argmax()), flush=True)
"""

LOAD_AND_TELL_MEMORY = """
import sys
from localfp4.config import EngineConfig
from localfp4.engine.engine import load_engine
from localfp4.telemetry.memory import process_memory
def load():
    engine = yield from load_engine(EngineConfig(sys.argv[1], device="cpu", max_model_len=64))
    memory = process_memory()
    print(engine.info.weight_bytes, memory.resident_bytes, memory.peak_bytes)
for _ in load():
    pass
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    theirs: str
    ours: str
    ratio: float
    target: str
    met: bool


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="localfp4 beside transformers, on the CPU.")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="length of each answer")
    parser.add_argument("--prompt", type=int, default=64, help="length of each prompt")
    args = parser.parse_args()
    print(
        f"{cpu_name()}, {args.threads} threads, torch {torch.__version__}; {args.repeats} repeats"
    )
    print(f"prompts of {args.prompt} tokens, answers of {args.tokens}; medians\n")
    print_table(
        [
            *decode_lines(args.threads, args.repeats, args.prompt, args.tokens),
            first_token_line(args.threads, args.repeats),
            help_line(args.repeats),
            memory_line(),
        ]
    )


def decode_lines(threads: int, repeats: int, prompt: int, tokens: int) -> list[Line]:
    """Decode tokens per second of both, at every batch size."""
    cases = [Case(batch, prompt, tokens) for batch in BATCHES]
    contestants = {"localfp4": loaded(load_demo(threads, cases))}
    for dtype in DTYPES:
        contestants[dtype] = loaded(transformers.load(str(ORIGINAL), dtype, "cpu", threads))
    seen: dict[tuple[str, int], list[float]] = {}
    for repeat in range(repeats + 1):
        for case in cases:
            for name, contestant in contestants.items():
                speed = figures(contestant.run(case, f"{case} {repeat}")).decode_tokens_per_s
                assert speed is not None
                seen.setdefault((name, case.batch), []).append(speed)
    # The first of each is to warm up.
    speeds = {name: median(values[1:]) for name, values in seen.items()}
    return [decode_line(speeds, batch) for batch in BATCHES]


def decode_line(speed: dict[tuple[str, int], float], batch: int) -> Line:
    """Batch 1 is held against transformers, larger ones against our own batch 1."""
    ours = speed["localfp4", batch]
    dtype = max(DTYPES, key=lambda name: speed[name, batch])
    theirs = speed[dtype, batch]
    others = ", ".join(f"{d} {speed[d, batch]:.0f}" for d in DTYPES if d != dtype)
    gain = ours / speed["localfp4", 1]
    return Line(
        what=f"decode, batch {batch}, tokens/s",
        theirs=f"{theirs:.0f} ({dtype}; {others})",
        ours=f"{ours:.0f}",
        ratio=ours / theirs,
        target="≥ 1.4 of theirs" if batch == 1 else f"≥ 3 of our batch 1 (is {gain:.2f})",
        met=ours / theirs >= 1.4 if batch == 1 else gain >= 3,
    )


def load_demo(threads: int, cases: Sequence[Case]) -> Loading:
    """Load the demo as ``bench`` does."""
    config = EngineConfig("demo", device="cpu", threads=threads, prefix_caching=False)
    return ours.load(config, cases)


def loaded(loading: Loading) -> Contestant:
    """Load a contestant without telling how far it is."""
    while True:
        try:
            next(loading)
        except StopIteration as end:
            contestant: Contestant = end.value
            return contestant


def first_token_line(threads: int, repeats: int) -> Line:
    """Time from the start of a process to the first byte it prints."""
    ours = [sys.executable, "-m", "localfp4", "run", "demo", "hi", "--threads", str(threads)]
    theirs = [sys.executable, "-c", TRANSFORMERS_FIRST_TOKEN, str(ORIGINAL), str(threads)]
    seen: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        seen["ours"].append(first_byte_s(ours))
        seen["theirs"].append(first_byte_s(theirs))
    our_s, their_s = median(seen["ours"]), median(seen["theirs"])
    return Line(
        what="first token of a cold process, s",
        theirs=f"{their_s:.2f}",
        ours=f"{our_s:.2f}",
        ratio=our_s / their_s,
        target="no later",
        met=our_s <= their_s,
    )


def first_byte_s(command: list[str]) -> float:
    """Start a program and wait for the first byte on its standard output."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1)
        took = time.perf_counter() - started
        process.stdout.read()
        if not first:
            raise SystemExit(process.stderr.read().decode())
    return took


def help_line(repeats: int) -> Line:
    """Time of ``localfp4 --help``."""
    script = Path(sys.executable).with_name("localfp4")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "localfp4"]
    times = []
    for _ in range(2 * repeats):
        started = time.perf_counter()
        subprocess.run([*program, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    took = median(times)
    return Line("localfp4 --help, s", "", f"{took:.3f}", took / 0.2, "≤ 0.2", took <= 0.2)


def memory_line() -> Line:
    """Peak memory of loading a checkpoint, over what stays resident."""
    with tempfile.TemporaryDirectory() as folder:
        stored = write_large_checkpoint(Path(folder))
        command = [sys.executable, "-c", LOAD_AND_TELL_MEMORY, folder]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    weights, resident, peak = map(int, told.split())
    return Line(
        what=f"peak of loading {stored / 1e9:.2f} GB ({weights / 1e9:.2f} GB in memory), GB",
        theirs="",
        ours=f"{peak / 1e9:.2f} (stays {resident / 1e9:.2f})",
        ratio=peak / resident,
        target="≤ 1.3 of what stays",
        met=peak <= 1.3 * resident,
    )


def write_large_checkpoint(folder: Path) -> int:
    """Write a Qwen3 of about 1 GB in BF16 with random weights; returns the bytes of its weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=32000,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=29,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="400MB")
    return sum(parameter.nbytes for parameter in model.parameters())


def print_table(lines: list[Line]) -> None:
    """Print the table as Markdown."""
    print("| | transformers | localfp4 | ratio | target | |")
    print("|---|--:|--:|--:|---|---|")
    for line in lines:
        verdict = "met" if line.met else "**missed**"
        cells = (line.what, line.theirs, line.ours, f"{line.ratio:.2f}", line.target, verdict)
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
