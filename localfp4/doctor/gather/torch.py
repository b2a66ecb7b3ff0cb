"""PyTorch: by its metadata, and asked in a process of its own since a broken one cannot be imported."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from localfp4.doctor.facts import TorchFacts
from localfp4.doctor.gather.child import PROBES, Asked, ask
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.telemetry.installed import torch_build

_LIMIT_S = 120.0
"""On a hard disk that was just started, importing torch alone takes a minute."""


def torch_facts(around: Surroundings) -> TorchFacts:
    """Describe PyTorch; this takes seconds, since it is imported."""
    try:
        torch = distribution("torch")
    except PackageNotFoundError:
        return TorchFacts()
    return torch_told(torch, ask(PROBES / "torch_import.py", around.environ, _LIMIT_S))


def torch_told(torch: Distribution, asked: Asked) -> TorchFacts:
    """Put together what its files say and what it says itself."""
    said = asked.answer
    build = torch_build(torch)
    return TorchFacts(
        version=said.get("version") or build.version or torch.version,
        cuda=said.get("cuda", build.cuda or ""),
        arch_list=tuple(said.get("arch_list", ())),
        sees_gpus=said.get("gpus"),
        error=said.get("error", "") or asked.error,
        wants_triton=_wanted_triton(torch.requires or []),
    )


def _wanted_triton(requirements: list[str]) -> str:
    """Return the version in ``triton==3.7.1; platform_system == "Linux"``."""
    for requirement in requirements:
        if found := re.match(r"(?:pytorch-)?triton *\(?== *([\w.+-]+)", requirement):
            return found[1]
    return ""
