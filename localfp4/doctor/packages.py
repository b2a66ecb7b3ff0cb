"""Versions of what localfp4 is made of and works with, by their metadata; imports none of them."""

import re
from importlib.metadata import PackageNotFoundError, requires

from localfp4.telemetry.installed import version_of

_BESIDE = ("hf-xet", "transformers", "torchvision", "torchaudio", "pip", "uv")
"""Which need not be there, and can break what must be."""


def package_versions() -> dict[str, str]:
    """Return the versions of localfp4's requirements, ``not installed`` among them, and of others."""
    required = [name for name in map(_name, _requirements()) if name]
    found = {name: version_of(name) for name in sorted({*required, *_BESIDE})}
    return {
        name: number or "not installed"
        for name, number in found.items()
        if number or name in required
    }


def _requirements() -> list[str]:
    """Return what the package asks for on any system, without its extras."""
    try:
        listed = requires("localfp4") or []
    except PackageNotFoundError:
        return []
    return [one for one in listed if "extra ==" not in one and "platform_system" not in one]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else ""
