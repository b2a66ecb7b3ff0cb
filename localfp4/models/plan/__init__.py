"""How much memory a model needs and how long its context may be; arithmetic only, no tensors.

The same numbers serve whoever asks: loading a model, ``localfp4 fit``, and screens.
"""

from localfp4.models.plan.budget import Draft
from localfp4.models.plan.choose import plan_memory
from localfp4.models.plan.dtypes import compute_dtype, kv_cache_dtype
from localfp4.models.plan.machine import Machine, card_machine, cpu_machine, gpu_machine
from localfp4.models.plan.memory_plan import MemoryPlan
from localfp4.models.plan.shrink import shrunk

__all__ = [
    "Draft",
    "Machine",
    "MemoryPlan",
    "card_machine",
    "compute_dtype",
    "cpu_machine",
    "gpu_machine",
    "kv_cache_dtype",
    "plan_memory",
    "shrunk",
]
