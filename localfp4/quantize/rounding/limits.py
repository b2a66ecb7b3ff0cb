"""How much of a matrix is rounded at once, and what that takes; torch-free."""

NEAREST_WEIGHTS_CPU = 2**18
NEAREST_WEIGHTS_GPU = 2**22
"""Weights whose scales are chosen together: what stays in the cache of a core, or of a GPU."""

NEAREST_BYTES = 64
"""Of each of them, for what candidates are compared with."""

GPTQ_WEIGHTS = 2**25
"""Weights that GPTQ solves together: rows do not depend on each other."""

GPTQ_BYTES = 20
"""Of each of them, beside its own; Hessians take three times their size."""
