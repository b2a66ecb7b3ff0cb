"""What is known on the device once a step's tokens are drawn, for whoever guesses what follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.runner.numbers import Numbers, Section
from localfp4.runner.rows import DrawnRow
from localfp4.runner.work import Work


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """A step whose tokens are drawn; nothing of it need have reached the host.

    Attributes:
        work: What the step was asked for.
        batch: The step as it ran; a bucket may have more rows than the work.
        hidden: ``[T, H]``, the decoder's final hidden states.
        tokens: int64 ``[D]``, all draws: of each item that draws, one and one more per draft.
        accepted: int64 ``[I]``, how many of its drafts each item that draws has accepted.
        rows: int64 ``[I]``, the row of the token before the last one that counts.
        latest: int64 ``[I]``, that last token: the one drawn after all that were accepted.
    """

    work: Sequence[Work]
    batch: ForwardBatch
    hidden: torch.Tensor
    tokens: torch.Tensor
    accepted: torch.Tensor
    rows: torch.Tensor
    latest: torch.Tensor


class Proposer(Protocol):
    """Guesses the tokens after those that were drawn; launches, and does not wait."""

    def propose(self, step: DrawnStep) -> torch.Tensor:
        """Return int64 ``[I, K]``, guesses for each item that draws; K may be 0.

        It is called after every step, those included in which nothing is drawn.
        """


@dataclass(frozen=True, slots=True)
class DraftSections:
    """What counting accepted drafts depends on, written into the step's buffer.

    Attributes:
        firsts: Index of each item's first draw.
        rows: Its row.
        drafts: ``[I, K]``; -1 where an item has fewer.
        most: K.
    """

    firsts: Section
    rows: Section
    drafts: Section
    most: int

    def drawn(
        self,
        work: Sequence[Work],
        batch: ForwardBatch,
        hidden: torch.Tensor,
        tokens: torch.Tensor,
        buffer: torch.Tensor,
    ) -> DrawnStep:
        """Count, on the device, how many drafts of each item equal what was drawn."""
        firsts, rows = self.firsts.of(buffer), self.rows.of(buffer)
        accepted = torch.zeros_like(firsts)
        if self.most and len(tokens):
            drafts = self.drafts.of(buffer).view(-1, self.most)
            places = firsts.unsqueeze(1) + torch.arange(self.most, device=tokens.device)
            right = tokens[places.clamp_max(len(tokens) - 1)] == drafts
            accepted = right.long().cumprod(1).sum(1)
        latest = tokens[firsts + accepted]
        return DrawnStep(work, batch, hidden, tokens, accepted, rows + accepted, latest)


def write_drafts(numbers: Numbers, work: Sequence[Work], rows: Sequence[DrawnRow]) -> DraftSections:
    """Write where each item's draws begin, and what was guessed."""
    drawing = [item for item in work if item.draw is not None]
    most = max((len(item.drafts) for item in drawing), default=0)
    firsts, place = [], 0
    for item in drawing:
        firsts.append(place)
        place += 1 + len(item.drafts)
    return DraftSections(
        firsts=numbers.int64(firsts),
        rows=numbers.int64(rows[first].row for first in firsts),
        drafts=numbers.int64(
            guess
            for item in drawing
            for guess in (*item.drafts, *(-1,) * (most - len(item.drafts)))
        ),
        most=most,
    )
