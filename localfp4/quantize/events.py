"""What a quantisation tells while it runs; stdlib only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        stage: What happens, such as ``layer 7 of 36``.
        done: Steps that are done, of ``total``.
        total: All steps.
        eta_s: Seconds that are left, as far as can be told.
    """

    stage: str
    done: int
    total: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that a user should read, and that goes into the model card."""

    text: str


Event = Progress | Note
