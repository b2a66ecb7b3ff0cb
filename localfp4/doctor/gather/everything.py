"""All areas one after the other, of which none can raise, hang or keep the others from being told."""

import platform
import sys
from collections.abc import Callable, Iterator

from localfp4 import __version__
from localfp4.doctor.facts import (
    CacheFacts,
    DriverFacts,
    Facts,
    GpuFacts,
    HubFacts,
    PythonFacts,
    SystemFacts,
    TerminalFacts,
    TorchFacts,
    TritonFacts,
)
from localfp4.doctor.gather.asking import Asking
from localfp4.doctor.gather.cache import cache_facts
from localfp4.doctor.gather.cards import card_facts
from localfp4.doctor.gather.driver import driver_facts
from localfp4.doctor.gather.hub import hub_facts
from localfp4.doctor.gather.python import python_facts
from localfp4.doctor.gather.surroundings import Surroundings, this_computer
from localfp4.doctor.gather.system import system_facts
from localfp4.doctor.gather.terminal import terminal_facts
from localfp4.doctor.gather.torch import torch_facts
from localfp4.doctor.gather.triton import on_card, triton_facts
from localfp4.doctor.gather.variables import telling_variables

_CHILD_LIMIT_S = 240.0
"""Longer than the limits of the processes that are asked, which end themselves."""


def gather(
    *, asks_network: bool, tries_kernels: bool, around: Surroundings | None = None
) -> Iterator[str | Facts]:
    """Find out everything: yield what is being looked at, and the facts last.

    Args:
        asks_network: Whether to ask the hub for an answer.
        tries_kernels: Whether to compile and run kernels where there is a card for them.
        around: The computer; left out, this one.
    """
    around = around or this_computer()
    asking = Asking()
    yield "the system"
    system = asking.get("system", lambda: system_facts(around), _plain_system(around))
    python = asking.get("Python", lambda: python_facts(around), _plain_python())
    terminal = asking.get("terminal", lambda: terminal_facts(around), TerminalFacts())
    settings_error = asking.get("settings", _settings_error, "")
    yield "the driver"
    driver = asking.get("driver", lambda: driver_facts(around), DriverFacts())
    gpus: tuple[GpuFacts, ...] = asking.get("cards", lambda: card_facts(around), ())
    yield "the cache of the hub"
    cache = asking.get("cache", lambda: cache_facts(around), CacheFacts(folder=""))
    yield "the way to the hub" if asks_network else "the token of the hub"
    hub = asking.get("hub", lambda: hub_facts(around, asks_network), HubFacts())
    yield "torch, which is imported"
    torch = asking.get("torch", lambda: torch_facts(around), TorchFacts(), _CHILD_LIMIT_S)
    card = _card_to_try(gpus, torch) if tries_kernels else None
    yield "Triton" if card is None else "Triton, which compiles a kernel"
    triton = asking.get("Triton", _triton(around, card), TritonFacts(), _CHILD_LIMIT_S)
    yield Facts(
        system=system,
        python=python,
        driver=driver,
        gpus=gpus,
        torch=torch,
        triton=triton,
        cache=cache,
        hub=hub,
        terminal=terminal,
        settings_error=settings_error,
        variables=telling_variables(around.environ),
        gaps=tuple(f"{area}: {why}" for area, why in asking.gaps.items()),
    )


def _triton(around: Surroundings, card: int | None) -> Callable[[], TritonFacts]:
    if card is None:
        return lambda: triton_facts(around, None)
    return lambda: triton_facts(on_card(around, card), "cuda:0")


def _card_to_try(gpus: tuple[GpuFacts, ...], torch: TorchFacts) -> int | None:
    """Return the card that localfp4 would take, if torch can compute there."""
    chosen = next((gpu.index for gpu in gpus if gpu.is_chosen), None)
    return chosen if torch.sees_gpus and not torch.error else None


def _settings_error() -> str:
    from localfp4.settings import SettingsError, read_settings

    try:
        read_settings()
    except SettingsError as error:
        return str(error)
    return ""


def _plain_system(around: Surroundings) -> SystemFacts:
    return SystemFacts(around.kind, platform.system(), platform.machine())


def _plain_python() -> PythonFacts:
    return PythonFacts(platform.python_version(), sys.executable, localfp4=__version__)
