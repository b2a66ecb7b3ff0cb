"""The header of every report: date, versions, processor, graphics card and driver.

Reads installed metadata instead of importing packages, so that it costs no torch.
"""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution

from localfp4 import __version__
from localfp4.telemetry.commit import running_commit
from localfp4.telemetry.cpu import cpu_name, usable_cores
from localfp4.telemetry.gpus import gpus
from localfp4.telemetry.installed import torch_build, version_of
from localfp4.telemetry.memory import system_memory
from localfp4.telemetry.nvml import driver_version


@dataclass(frozen=True, slots=True)
class Environment:
    """Where something was measured, and when.

    Attributes:
        date: The day and minute, in UTC, such as ``2026-11-21 15:04 UTC``.
        localfp4: Version of this program.
        python: Version of Python.
        torch: Version of torch; ``None`` where it is not installed.
        triton: Version of Triton; ``None`` where it is not installed.
        os: Operating system and its release.
        cpu: Name of the processor.
        cores: Physical cores this process may use.
        threads: Threads that matrix work runs on.
        memory_bytes: Memory of the computer or the container.
        gpu: Name of the graphics card; ``None`` on a CPU.
        driver: Version of the NVIDIA driver; ``None`` on a CPU.
        cuda: Version of CUDA that torch was built for; ``None`` where it was built for none.
        commit: Of this program, where it runs from a checkout or was installed from one.
        gpu_memory_bytes: All memory of the graphics card; ``None`` on a CPU.
        gpu_power_limit_w: What the driver lets the card draw; ``None`` on a CPU, and where the
            driver does not tell.
    """

    date: str
    localfp4: str
    python: str
    torch: str | None
    triton: str | None
    os: str
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    gpu: str | None
    driver: str | None
    cuda: str | None = None
    commit: str | None = None
    gpu_memory_bytes: int | None = None
    gpu_power_limit_w: int | None = None


def environment(threads: int, gpu: str | None = None) -> Environment:
    """Describe this machine, with the threads and the graphics card that are in use."""
    card = next((card for card in gpus() if card.name == gpu), None) if gpu else None
    return Environment(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        localfp4=__version__,
        python=platform.python_version(),
        torch=version_of("torch"),
        triton=version_of("triton") or version_of("triton-windows"),
        os=f"{platform.system()} {platform.release()}",
        cpu=cpu_name(),
        cores=usable_cores(),
        threads=threads,
        memory_bytes=system_memory().total_bytes,
        gpu=gpu,
        driver=driver_version() if gpu else None,
        cuda=_cuda_of_torch(),
        commit=running_commit(),
        gpu_memory_bytes=card.total_bytes if card else None,
        gpu_power_limit_w=card.power_limit_w if card else None,
    )


def _cuda_of_torch() -> str | None:
    try:
        return torch_build(distribution("torch")).cuda
    except PackageNotFoundError:
        return None
