"""Models whose shapes are published, without their weights."""

from localfp4.checkpoint.hub import find
from localfp4.models.opened import OpenedModel, open_model
from localfp4.models.plan import Machine, card_machine, cpu_machine
from localfp4.telemetry.cards import card_named

GB = 10**9


def published(name: str) -> OpenedModel:
    """Return a model of the catalogue in 16 bits, such as ``qwen3-8b``."""
    return open_model(find(f"synthetic:{name}@bf16"))


def card(name: str, ram_gb: int = 28) -> Machine:
    """Return a computer with a card and so much free main memory."""
    return card_machine(card_named(name), ram_gb * GB)


def cpu(free_gb: int = 14) -> Machine:
    """Return a computer without a card."""
    return cpu_machine(free_gb * GB, (free_gb + 2) * GB)
