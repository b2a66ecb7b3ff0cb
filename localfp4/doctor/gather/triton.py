"""Triton: what is installed of it, and whether a kernel compiles and runs."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from localfp4.doctor.facts import TritonFacts
from localfp4.doctor.gather.child import PROBES, ask
from localfp4.doctor.gather.disk import is_writable
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.telemetry.installed import version_of

_DISTRIBUTIONS = (
    "triton",
    "triton-windows",
    "pytorch-triton",
    "pytorch-triton-rocm",
    "pytorch-triton-xpu",
    "triton-rocm",
    "triton-nightly",
)
"""Distributions on PyPI and PyTorch's index whose files all lie in the folder ``triton``."""

_LIMIT_S = 180.0
"""torch is imported, and the first kernel of a new installation also has its launcher compiled."""


def triton_facts(
    around: Surroundings, device: str | None, installed: Callable[[str], str | None] | None = None
) -> TritonFacts:
    """Describe Triton.

    Args:
        around: The computer.
        device: Where kernels are tried, such as ``cuda:0``; ``None`` tries none.
        installed: Returns the version of a distribution; left out, the metadata is read.
    """
    find = installed or version_of
    versions = {name: found for name in _DISTRIBUTIONS if (found := find(name))}
    own = "triton-windows" if around.kind == "windows" else "triton"
    distribution = own if own in versions else next(iter(versions), "")
    folder = cache_folder(around)
    facts = TritonFacts(
        distribution=distribution,
        version=versions.get(distribution),
        others=tuple(name for name in versions if name != distribution),
        cache_folder=str(folder),
        is_cache_writable=is_writable(folder),
    )
    return with_kernel(facts, around, device) if versions and device else facts


def with_kernel(facts: TritonFacts, around: Surroundings, device: str) -> TritonFacts:
    """Compile and run kernels on a device, anew: nothing that was kept is taken."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        environ = {**around.environ, "TRITON_CACHE_DIR": cache}
        asked = ask(PROBES / "kernel.py", environ, _LIMIT_S, [device])
    if asked.error:
        return replace(facts, kernel="failed", error=asked.error)
    said = asked.answer
    return replace(facts, kernel=said["kernel"], kernel_s=said["seconds"], error=said["error"])


def on_card(around: Surroundings, index: int) -> Surroundings:
    """Return surroundings in which ``cuda:0`` is the card that ``nvidia-smi`` counts so."""
    choice = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(index)}
    return replace(around, environ={**around.environ, **choice})


def cache_folder(around: Surroundings) -> Path:
    """Return where Triton keeps what it compiled, by its ``knobs.py``."""
    if named := around.environ.get("TRITON_CACHE_DIR"):
        return Path(named)
    home = around.environ.get("TRITON_HOME") or os.path.expanduser("~")
    return Path(home, ".triton", "cache")
