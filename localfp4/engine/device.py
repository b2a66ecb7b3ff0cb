"""Choosing the device that a model runs on."""

import torch

from localfp4.config import EngineConfig
from localfp4.engine.heap import keep_freed_memory
from localfp4.errors import RequestError
from localfp4.telemetry.choice import choice_in_words, chosen_gpu, count_as_nvidia_smi
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.gpus import Gpu, gpus


def choose_device(config: EngineConfig) -> torch.device:
    """Choose the device; where that is the CPU, give matrix work its threads and its memory.

    ``cuda`` is the best GPU, and GPUs are counted as ``nvidia-smi`` does, unless CUDA was told
    otherwise.

    Raises:
        RequestError: There is no such device here.
    """
    count_as_nvidia_smi()
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
    # Where kernels run on none, they say so of the first.
    return torch.device("cuda", chosen_gpu(name, _gpus_of_torch()) or 0)


def choice_of_several(config: EngineConfig, device: torch.device) -> str:
    """Name the GPU that was chosen where there are several and none was asked for; else empty."""
    if device.type != "cuda" or ":" in (config.device or ""):
        return ""
    return choice_in_words(_gpus_of_torch(), device.index)


def device_uuid(device: torch.device) -> str:
    """Return the UUID of a GPU without NVML's prefix ``GPU-``; empty for a CPU."""
    if device.type != "cuda":
        return ""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))


def _gpus_of_torch() -> list[Gpu]:
    """Return the GPUs as torch counts them, with what the driver knows of them."""
    known = gpus()
    return [_gpu_of_torch(index, known) for index in range(torch.cuda.device_count())]


def _gpu_of_torch(index: int, known: list[Gpu]) -> Gpu:
    uuid = device_uuid(torch.device("cuda", index))
    found = next((gpu for gpu in known if uuid and gpu.uuid.endswith(uuid)), None)
    if found is not None:
        return found
    properties = torch.cuda.get_device_properties(index)
    return Gpu(
        name=properties.name,
        uuid=uuid,
        total_bytes=properties.total_memory,
        free_bytes=0,
        capability=10 * properties.major + properties.minor,
        index=index,
    )
