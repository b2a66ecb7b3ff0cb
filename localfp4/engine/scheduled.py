"""One sequence's share of a step; torch-free."""

from dataclasses import dataclass

from localfp4.engine.sequence import Sequence
from localfp4.runner.work import Work


@dataclass(slots=True, eq=False)
class Scheduled:
    """What a step does for a sequence.

    Attributes:
        sequence: Whose.
        start: Position of the first token to compute.
        end: Position after the last one that is not a guess.
        is_decode: Whether these are the newest generated tokens, as opposed to a chunk of prompt.
        completes: Whether the step reaches the end of the sequence.
        draws: Whether a token is chosen then.
        run: Of the sequence, when this was planned.
        follows: Which draw of the step before the token at ``end - 1`` is, if it is not known yet.
        drafts: Guesses for the tokens after it.
        wanted: How many further guesses a model shall make in this step.
        spare: The slot that recurrent layers try guesses in, so that there is a state to go back
            to.
        restore: Slot of the snapshot that it goes on from, if that has just been found.
        snapshot: Slot that its state is copied into after the step.
    """

    sequence: Sequence
    start: int
    end: int
    is_decode: bool
    completes: bool
    draws: bool
    run: int
    follows: int | None = None
    drafts: tuple[int, ...] = ()
    wanted: int = 0
    spare: int | None = None
    restore: int | None = None
    snapshot: int | None = None

    @property
    def rows(self) -> int:
        """Positions that are computed, guesses included."""
        return self.end - self.start + len(self.drafts)

    @property
    def is_current(self) -> bool:
        """Whether the sequence still has the pages that this was planned with."""
        return self.run == self.sequence.runs

    def work(self) -> Work:
        """Say what the runner has to do."""
        sequence = self.sequence
        slot, restore = sequence.slot, self.restore
        if self.spare is not None:
            slot, restore = self.spare, sequence.slot
        return Work(
            sequence.tokens,
            self.start,
            self.end,
            sequence.pages,
            self.is_decode,
            sequence.draw if self.draws else None,
            sequence.collect,
            slot,
            restore,
            self.snapshot,
            self.drafts,
            self.follows,
            self.wanted,
            sequence.collect_from,
            sequence.alternatives,
        )
