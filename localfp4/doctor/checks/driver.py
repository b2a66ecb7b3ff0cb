"""NVIDIA's driver: whether there is one, whether it works, whether it is new enough."""

from collections.abc import Iterator

from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.remedies.python_packages import capability_of, cuda_here, right_torch
from localfp4.doctor.remedies.system_packages import driver
from localfp4.doctor.versions import (
    TORCH_BUILDS,
    Cuda,
    build_for,
    dotted,
    oldest_driver,
    parsed,
)


def driver_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of the driver."""
    if is_hidden(facts):
        yield _within_wsl(facts)
        return
    if facts.driver.version is None:
        yield from _missing(facts)
        return
    old = list(_too_old(facts))
    if not old:
        cuda = cuda_here(facts)
        told = f", runs CUDA {dotted(cuda)}" if cuda else ""
        yield Finding("driver", "driver", "ok", f"NVIDIA driver {facts.driver.version}{told}")
    yield from old


def is_hidden(facts: Facts) -> bool:
    """Say whether a driver within WSL keeps that of Windows from being found.

    In containers, NVIDIA's toolkit puts Windows' own libraries where a driver for Linux has them.
    """
    is_own = facts.driver.hides_that_of_windows and not facts.system.container
    return is_own and not facts.torch.sees_gpus


def _within_wsl(facts: Facts) -> Finding:
    # docs.nvidia.com/cuda/wsl-user-guide: "do not install any Linux display driver in WSL".
    remedy = Remedy("Remove the packages of NVIDIA's driver from WSL.")
    if facts.system.package_manager == "apt":
        # By name, since packages of the container toolkit begin alike.
        parts = "cfg|common|compute|decode|encode|extra|fbc|gl"
        others = "compute-utils|dkms|driver|firmware|kernel|utils"
        command = ("sudo", "apt", "purge", f"^libnvidia-({parts})", f"^nvidia-({others})")
        remedy = Remedy("Remove it from WSL:", (command,))
    return Finding(
        "wsl-driver",
        "driver",
        "problem",
        "A driver for Linux is installed within WSL",
        "It hides the driver of Windows, which WSL passes on, and finds no card.",
        (remedy,),
    )


def _missing(facts: Facts) -> Iterator[Finding]:
    found = facts.driver
    if found.error:
        yield Finding(
            "driver",
            "driver",
            "problem",
            "NVIDIA's driver does not work",
            found.error,
            (*_restart(facts), *driver(facts)),
        )
    elif found.has_hardware:
        instead = f"; Linux uses {found.kernel_module} instead" if found.kernel_module else ""
        yield Finding(
            "driver",
            "driver",
            "problem",
            f"There is an NVIDIA card, but NVIDIA's driver is missing{instead}",
            "Without it models run on the processor, which is much slower.",
            (*_container(facts), *driver(facts)),
        )
    else:
        yield Finding(
            "driver",
            "driver",
            "warning",
            "No NVIDIA graphics card was found",
            "Models run on the processor, which is much slower; small ones are usable.",
            _container(facts),
        )


def _restart(facts: Facts) -> tuple[Remedy, ...]:
    """Return the remedy of an update that took away the running driver's libraries."""
    if "mismatch" not in facts.driver.error.lower():
        return ()
    return (Remedy("The driver was updated while it ran: restart the computer."),)


def _container(facts: Facts) -> tuple[Remedy, ...]:
    """Return how a container gets a card; the same for Docker and Podman but for the option."""
    if not facts.system.container:
        return ()
    if facts.system.container == "podman":
        # docs.nvidia.com/datacenter/cloud-native/container-toolkit, CDI
        return (Remedy("Start the container with --device nvidia.com/gpu=all"),)
    return (Remedy("Start the container with --gpus all (NVIDIA's Container Toolkit does it)"),)


def _too_old(facts: Facts) -> Iterator[Finding]:
    """Compare the driver with the CUDA of PyTorch, or of the build to be installed."""
    if facts.gpus and capability_of(facts) is None:
        return
    runs = cuda_here(facts)
    oldest = min(build.cuda for build in TORCH_BUILDS)
    built = parsed(facts.torch.cuda) if facts.torch.cuda else oldest
    needs = oldest_driver(built, capability_of(facts) or 0)
    has = parsed(facts.driver.version or "")[0]
    if has >= needs or (runs is not None and runs >= built):
        return
    what = f"PyTorch's CUDA {dotted(built)}" if facts.torch.cuda else f"CUDA {dotted(built)}"
    yield Finding(
        "driver-version",
        "driver",
        "problem",
        f"NVIDIA driver {facts.driver.version} is too old for {what}, which needs {needs} or newer",
        "PyTorch sees no card with it, and models run on the processor.",
        (*driver(facts), *_older_torch(facts, runs)),
    )


def _older_torch(facts: Facts, runs: Cuda | None) -> tuple[Remedy, ...]:
    """Return the build of PyTorch that the present driver runs, if there is one."""
    if runs is None or build_for(capability_of(facts), runs).cuda[0] > runs[0]:
        return ()
    build = build_for(capability_of(facts), runs)
    words = f"Or take PyTorch for CUDA {dotted(build.cuda)}, which this driver runs:"
    return (right_torch(facts, words),)
