"""What a quantised model leaves of a card, before it exists; torch-free."""

from dataclasses import dataclass, replace

from localfp4.checkpoint.parameters import parameter_count
from localfp4.checkpoint.rounded.checkpoint import rounded_checkpoint
from localfp4.config import EngineConfig
from localfp4.errors import ContextError
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.forecast import Candidate, Weighed, plan_for, weigh
from localfp4.models.opened import OpenedModel
from localfp4.models.plan import Machine, MemoryPlan


@dataclass(frozen=True, slots=True)
class Room:
    """A model on the machine that it is to run on.

    Attributes:
        machine: Which.
        weighed: Its weights in 4 bits.
        plan: What would be allocated; ``None`` where it does not fit at all.
        original: The same of the model as it is; ``None`` where that does not fit.
    """

    machine: Machine
    weighed: Weighed
    plan: MemoryPlan | None
    original: MemoryPlan | None

    @property
    def is_whole(self) -> bool:
        """Whether all 4-bit weights lie on the device."""
        return self.plan is not None and self.plan.placement.is_whole

    def spare_bytes(self, context: int, most: int) -> int:
        """Return by how much the weights may grow and still leave room for a context.

        Args:
            context: Tokens that a conversation is to have.
            most: More than that is not asked for.
        """
        low, high = 0, most
        while high - low > 2**24:
            middle = (low + high) // 2
            if self._holds(middle, context):
                low = middle
            else:
                high = middle
        return most if low and self._holds(most, context) else low

    def with_more(self, more: int) -> MemoryPlan | None:
        """Return what would be allocated if the weights were larger; ``None`` if that fits not."""
        sizes = replace(self.weighed.sizes, rest=self.weighed.sizes.rest + more)
        return _planned(replace(self.weighed, sizes=sizes), self.machine)

    def _holds(self, more: int, context: int) -> bool:
        plan = self.with_more(more)
        return plan is not None and plan.placement.is_whole and plan.max_model_len >= context


def room_on(opened: OpenedModel, machine: Machine) -> Room:
    """Plan a model in NVFP4, and as it is, for the machine that it is to run on.

    Raises:
        UnsupportedModelError: No linear fits the format.
    """
    stacks = tuple(dense_stacks(opened.checkpoint, opened.spec))
    parameters = parameter_count(opened.checkpoint)
    rounded = rounded_checkpoint(opened.checkpoint, "nvfp4", stacks)
    config = EngineConfig("")
    weighed, original = (
        weigh(config, Candidate(opened.spec, checkpoint, parameters), machine)
        for checkpoint in (rounded, opened.checkpoint)
    )
    return Room(machine, weighed, _planned(weighed, machine), _planned(original, machine))


def _planned(weighed: Weighed, machine: Machine) -> MemoryPlan | None:
    try:
        return plan_for(EngineConfig(""), weighed, machine).plan
    except ContextError:
        return None
