"""The machine that a plan is for: this one, or one with a card that is not here."""

from localfp4.config import EngineConfig
from localfp4.errors import RequestError
from localfp4.models.here import machine_here
from localfp4.models.plan import Machine, card_machine
from localfp4.telemetry.cards import Card, card_named

TYPICAL_RAM_GB = 32.0

_SYSTEM_BYTES = 4 * 10**9
"""Main memory that an operating system and a desktop take, of a computer that is not here."""


def chosen_machine(
    config: EngineConfig, gpu: str | None, ram_gb: float = TYPICAL_RAM_GB
) -> tuple[str, Machine]:
    """Return what to plan for, and its name.

    Args:
        config: What was asked for.
        gpu: Name of a card; ``None`` takes what is here.
        ram_gb: Main memory of the computer with that card.

    Raises:
        RequestError: There is no such card, or what is asked for contradicts itself.
    """
    if gpu is None:
        return machine_here(config.device)
    check_no_device(config)
    card = card_named(gpu)
    return card.name, machine_with(card, ram_gb)


def check_no_device(config: EngineConfig) -> None:
    """Refuse a device of this computer beside a card that is not here.

    Raises:
        RequestError: It asks for the CPU.
    """
    if config.device is not None and config.device.startswith("cpu"):
        raise RequestError("--gpu and --device cpu ask for two plans; leave one of them out.")


def machine_with(card: Card, ram_gb: float = TYPICAL_RAM_GB) -> Machine:
    """Return a computer with a card, and main memory of which the system takes its part."""
    return card_machine(card, max(int(ram_gb * 1e9) - _SYSTEM_BYTES, 0))
