"""Drafts of a checkpoint's own head for multi-token prediction."""

from dataclasses import dataclass, replace

import torch

from localfp4.models.cache import Cache
from localfp4.models.decoder import Decoder
from localfp4.runner.drawn import DrawnStep
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.propose import Ends, in_first_group, spare_page, wanted_drafts


@dataclass(frozen=True, slots=True)
class MtpProposer:
    """Guesses from the model's hidden states, and further ahead from the head's own.

    The head was trained for one token; vLLM and SGLang go on from its own states as this does.
    It runs on every step, so that its keys and values are complete. At the end of a page that
    another sequence takes over, it has seen the token that followed there, which may be another
    one: a draft may be the worse for it, never an answer.

    Attributes:
        decoder: The model with its head.
        caches: Of the head's layers.
    """

    decoder: Decoder
    caches: tuple[Cache, ...]

    def propose(self, step: DrawnStep) -> torch.Tensor:
        """Run the head on every row of the step, then on its guesses."""
        ends = Ends.of(step)
        shifted = replace(step.batch, token_ids=ends.following())
        states = self.decoder.draft(step.hidden, shifted, self.caches)[step.rows]
        guesses: list[torch.Tensor] = []
        for ahead in range(wanted_drafts(step.work)):
            if ahead:
                more = ends.one_more(guesses[-1], ahead, spare_page(self.caches))
                states = self.decoder.draft(states, more, self.caches)
            guesses.append(self.decoder.logits(states).argmax(-1))
        return torch.stack(guesses, dim=1) if guesses else step.tokens.new_empty(len(states), 0)


def mtp_proposer(decoder: Decoder, pages: int, dtype: str, device: torch.device) -> MtpProposer:
    """Give the layers of a model's head their caches.

    Its few launches are not recorded: a GPU still computes the step when the last of them comes.

    Args:
        decoder: The model with its head.
        pages: Of the first KV group.
        dtype: Of the caches, as in :func:`allocate_caches`.
        device: Where.
    """
    head = replace(decoder.spec, layers=decoder.spec.mtp, mtp=())
    for_kernels = decoder.execution.target is not None
    caches = allocate_caches(head, [pages], dtype, device, for_kernels=for_kernels)
    return MtpProposer(decoder, in_first_group(caches))
