"""What the memory plan has to know of the device that a model is loaded on."""

import torch

from localfp4.engine.device import device_uuid
from localfp4.models.closable import programs_to_close
from localfp4.models.plan import Machine, cpu_machine, gpu_machine
from localfp4.telemetry.cards import card_of_device
from localfp4.telemetry.gpus import gpu_with_uuid
from localfp4.telemetry.holders import memory_holders
from localfp4.telemetry.memory import system_memory


def machine_of(device: torch.device) -> Machine:
    """Describe a device and what is free of it now; this makes a CUDA context."""
    memory = system_memory()
    if device.type != "cuda":
        return cpu_machine(memory.available_bytes, memory.total_bytes)
    free, total = torch.cuda.mem_get_info(device)
    properties = torch.cuda.get_device_properties(device)
    uuid = device_uuid(device)
    gpu = gpu_with_uuid(uuid)
    return gpu_machine(
        free_bytes=free,
        total_bytes=total,
        ram_bytes=memory.available_bytes,
        capability=10 * properties.major + properties.minor,
        card=card_of_device(properties.name, total),
        drives_display=None if gpu is None else gpu.drives_display,
        link=None if gpu is None else gpu.link,
        has_context=True,
        others=programs_to_close(memory_holders(uuid)),
    )
