"""Choosing the device that a model runs on."""

import torch

from localfp4.config import EngineConfig
from localfp4.engine.heap import keep_freed_memory
from localfp4.errors import RequestError
from localfp4.telemetry.cpu import usable_cores


def choose_device(config: EngineConfig) -> torch.device:
    """Choose the device; where that is the CPU, give matrix work its threads and its memory.

    Raises:
        RequestError: There is no such device here.
    """
    name = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"There is no device '{name}'; use cpu, cuda or cuda:0.") from error
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"Device '{name}' is not supported; use cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(
            "This PyTorch sees no CUDA device; install a CUDA build of PyTorch and a current "
            "driver, or use --device cpu."
        )
    if device.type == "cpu":
        torch.set_num_threads(config.threads or usable_cores())
        keep_freed_memory()
        return device
    index = torch.cuda.current_device() if device.index is None else device.index
    count = torch.cuda.device_count()
    if index >= count:
        raise RequestError(f"There is no GPU '{name}'; the last one here is cuda:{count - 1}.")
    return torch.device("cuda", index)


def device_uuid(device: torch.device) -> str:
    """Return the UUID of a GPU without NVML's prefix ``GPU-``; empty for a CPU."""
    if device.type != "cuda":
        return ""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
