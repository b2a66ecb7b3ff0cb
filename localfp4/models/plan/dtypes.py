"""Choosing the types of numbers where the user left them open."""

from localfp4.config import EngineConfig
from localfp4.models.cache_bytes import ELEMENT_BYTES
from localfp4.models.plan.machine import Machine


def compute_dtype(config: EngineConfig, parameters: int, *, device: str, free_bytes: int) -> str:
    """Choose the compute type.

    On a CPU float32 keeps every weight exact, as long as that takes at most half of the memory.
    bfloat16 decodes faster only where the CPU multiplies it in hardware.
    """
    if config.dtype != "auto":
        return config.dtype
    if device == "cpu" and parameters * ELEMENT_BYTES["float32"] <= free_bytes // 2:
        return "float32"
    return "bfloat16"


def kv_cache_dtype(config: EngineConfig, machine: Machine, dtype: str) -> str:
    """Choose the type of the KV cache.

    E4M3 with a scale for each token and head takes half the memory and half the time to read; both
    kinds of attention, and the latent one, read it wherever kernels run. Before Ada, GPUs convert
    it by integer arithmetic, so that there, and in plain torch, the cache has the compute type.
    """
    if config.kv_cache_dtype != "auto":
        return config.kv_cache_dtype
    runs_kernels = machine.is_gpu and not config.is_plain_torch
    return "fp8" if runs_kernels and machine.has_fast_fp8 else dtype
