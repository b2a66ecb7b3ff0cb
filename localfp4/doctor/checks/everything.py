"""All checks, in the order that they are told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from localfp4.doctor.checks.card import card_findings
from localfp4.doctor.checks.driver import driver_findings
from localfp4.doctor.checks.models import model_findings
from localfp4.doctor.checks.network import network_findings
from localfp4.doctor.checks.system import system_findings
from localfp4.doctor.checks.terminal import terminal_findings
from localfp4.doctor.checks.torch import torch_findings
from localfp4.doctor.checks.triton import triton_findings
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Area, Finding


@dataclass(frozen=True, slots=True)
class _Check:
    """What is asked of an area.

    Attributes:
        area: The area.
        findings: The check.
        gap: What the area is called among the gaps of facts; without it nothing can be said.
    """

    area: Area
    findings: Callable[[Facts], Iterator[Finding]]
    gap: str


_CHECKS = (
    _Check("system", system_findings, ""),
    _Check("driver", driver_findings, "driver"),
    _Check("card", card_findings, "cards"),
    _Check("torch", torch_findings, "torch"),
    _Check("triton", triton_findings, "Triton"),
    _Check("models", model_findings, "cache"),
    _Check("network", network_findings, "hub"),
    _Check("terminal", terminal_findings, "terminal"),
)


def all_findings(facts: Facts) -> tuple[Finding, ...]:
    """Return what there is to say of a computer, by areas."""
    return tuple(finding for check in _CHECKS for finding in _told(check, facts))


def _told(check: _Check, facts: Facts) -> Iterator[Finding]:
    gaps = dict(gap.partition(": ")[::2] for gap in facts.gaps)
    if check.gap in gaps:
        yield Finding(
            f"{check.area}-unknown",
            check.area,
            "warning",
            "This could not be found out",
            gaps[check.gap],
        )
    else:
        yield from check.findings(facts)
