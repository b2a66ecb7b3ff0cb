"""All linear layers of a 5M-parameter Qwen3 in one pass: weights as stored against oneDNN's layout.

    python kernels/bench/linear.py [THREADS]

Milliseconds, the best of 15 passes. A pass reads every weight, as decoding a token does, so that
none of it stays in the fast caches.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from localfp4_kernels.linear.packed import pack_linear_torch, packed_linear_torch

SHAPES = [(512, 320), (320, 256), (1792, 320), (320, 896)] * 6 + [(2560, 320)]


def best_ms(run: Callable[[], object]) -> float:
    times = []
    for _ in range(16):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times[1:]) * 1e3


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
    print("| rows | type | as stored | blocked |\n|--:|---|--:|--:|")
    for rows in (1, 8, 64):
        for dtype in (torch.float32, torch.bfloat16):
            weights = [torch.randn(shape).to(dtype) for shape in SHAPES]
            packed = [pack_linear_torch(weight) for weight in weights]
            inputs = [torch.randn(rows, columns).to(dtype) for _, columns in SHAPES]

            def stored(inputs=inputs, weights=weights) -> None:
                for x, weight in zip(inputs, weights, strict=True):
                    functional.linear(x, weight)

            def blocked(inputs=inputs, packed=packed) -> None:
                for x, weight in zip(inputs, packed, strict=True):
                    packed_linear_torch(x, weight, None)

            with torch.inference_mode():
                print(f"| {rows} | {dtype} | {best_ms(stored):.2f} | {best_ms(blocked):.2f} |")


if __name__ == "__main__":
    main()
