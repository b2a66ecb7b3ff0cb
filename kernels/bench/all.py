"""Every kernel of the library on this machine's GPU, as one Markdown report.

python kernels/bench/all.py > report.md
"""

import sys

import attention
import gated_delta
import gemv
import mamba2
import matmul
import moe
import sampler
import tiered_moe
from _bench import run

FAMILIES = (gemv, matmul, attention, moe, tiered_moe, gated_delta, mamba2, sampler)

if __name__ == "__main__":
    sys.exit(run(*(family.cases for family in FAMILIES)))
