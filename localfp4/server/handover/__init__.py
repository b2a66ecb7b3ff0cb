"""Handing a model over to vLLM, for several GPUs or computers; stdlib only besides checkpoints.

Nothing distributed is made here: what vLLM is told, what it could not load, and its process.
"""

VLLM_VERSION = "0.33.0"
"""Whose source says which flags there are and what can be loaded."""
