"""Several windows of calibration tokens as one step of a decoder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.attention import Angles, angles_of
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.load import ropes
from localfp4.models.rope import rope_frequencies
from localfp4.models.spec import AttentionSpec, DecoderSpec, RopeSpec
from localfp4.quantize.planning.steps import windows_together
from localfp4.runner.kv_cache import allocate_caches
from localfp4.runner.prepare import prepare
from localfp4.runner.work import Work


@dataclass(frozen=True, slots=True)
class Layout:
    """Some windows of one length, as layers take them.

    Attributes:
        count: Windows.
        length: Tokens of each.
        batch: Their places; the ids of tokens in it mean nothing.
        angles: Of their positions.
    """

    count: int
    length: int
    batch: ForwardBatch
    angles: Angles


class Batches:
    """Cuts windows into steps, and keeps what those of one size have in common.

    Attributes:
        spec: The model.
        samples: Windows in all.
        length: Tokens of each.
        device: Where layers run.
        dtype: Compute type.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        samples: int,
        length: int,
        device: torch.device,
        dtype: torch.dtype,
        step_tokens: int | None = None,
    ) -> None:
        """Take the model, and how many windows of how many tokens there are."""
        self.spec = spec
        self.samples = samples
        self.length = length
        self.device = device
        self.dtype = dtype
        self._together = windows_together(length, device.type)
        if step_tokens is not None:
            self._together = max(step_tokens // length, 1)
        self._frequencies: Mapping[RopeSpec, torch.Tensor] = {
            rope: rope_frequencies(rope, device, length) for rope in ropes(spec)
        }
        self._layouts: dict[int, Layout] = {}

    def __len__(self) -> int:
        """How many steps there are."""
        return -(-self.samples // self._together)

    def __iter__(self) -> Iterator[slice]:
        """Yield the windows of each step."""
        for start in range(0, self.samples, self._together):
            yield slice(start, min(start + self._together, self.samples))

    @property
    def tokens(self) -> tuple[int, ...]:
        """Tokens of each step."""
        return tuple((one.stop - one.start) * self.length for one in self)

    def layout(self, windows: slice) -> Layout:
        """Return the layout of a step's windows."""
        count = windows.stop - windows.start
        if count not in self._layouts:
            self._layouts[count] = self._made(count)
        return self._layouts[count]

    def cache(self, index: int) -> Cache:
        """Return what a layer keeps of the windows of the largest step.

        Windows of every step write all that is read of it. A layer that uses an earlier one's keys
        and values gets a cache of the same shape.
        """
        mixer = self.spec.layers[index].mixer
        if isinstance(mixer, AttentionSpec) and mixer.shares_kv_of is not None:
            index = mixer.shares_kv_of
        alone = replace(self.spec, layers=(self.spec.layers[index],), mtp=())
        [cache] = allocate_caches(
            alone,
            (self._together * self.window_pages,) * 2,
            str(self.dtype).removeprefix("torch."),
            self.device,
            slots=self._together,
            state_dtype=self.dtype,
        )
        return cache

    @property
    def window_pages(self) -> int:
        """Pages of a window."""
        return -(-self.length // PAGE_SIZE)

    def _made(self, count: int) -> Layout:
        pages, tokens = self.window_pages, (0,) * self.length
        work = []
        for window in range(count):
            own = tuple(range(window * pages, (window + 1) * pages))
            # A layer alone has its keys in the first group or, with a window, in the second.
            slot = window if self.spec.is_recurrent else None
            work.append(Work(tokens, 0, self.length, (own, own), False, None, slot=slot))
        batch = prepare(work, self.device)
        angles = angles_of(self.spec, self._frequencies, batch.positions, self.dtype)
        return Layout(count, self.length, batch, angles)
