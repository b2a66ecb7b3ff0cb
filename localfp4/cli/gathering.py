"""Finding out about this computer, with a line on the terminal that says what is looked at."""

from localfp4.cli.progress import overwrite
from localfp4.doctor.facts import Facts
from localfp4.doctor.gather.everything import gather


def gathered(*, asks_network: bool, tries_kernels: bool) -> Facts:
    """Find everything out.

    Args:
        asks_network: Whether to ask the hub for an answer.
        tries_kernels: Whether to compile and run kernels where there is a card for them.
    """
    try:
        for step in gather(asks_network=asks_network, tries_kernels=tries_kernels):
            if isinstance(step, Facts):
                return step
            overwrite(f"looking at {step}")
    finally:
        overwrite("")
    raise AssertionError("gathering ends with the facts")
