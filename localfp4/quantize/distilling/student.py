"""A rounded model in training: forward keeps the inputs of segments, backward recomputes the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from localfp4.models.cache import Cache, StateCache
from localfp4.models.spec import AttentionSpec, DecoderSpec
from localfp4.quantize.distilling.divergence import divergence_gradient, mean_divergence
from localfp4.quantize.distilling.segments import segments_of
from localfp4.quantize.distilling.student_layer import StudentLayer
from localfp4.quantize.distilling.trained_norms import TrainedNorm
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import Output
from localfp4.quantize.streaming.run_layer import Activations


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Windows, and what the original makes of them.

    Attributes:
        before: The stream before the first layer, which both have in common.
        after: ``[samples, length, H]``, the original's stream after the last layer.
        output: What the original makes of that.
    """

    before: Activations
    after: torch.Tensor
    output: Output


class Student:
    """A rounded model in training.

    Attributes:
        layers: Bottom to top.
        norm: After the last layer.
    """

    def __init__(
        self,
        layers: Sequence[StudentLayer],
        norm: TrainedNorm,
        output: Output,
        batches: Batches,
    ) -> None:
        """Take the layers, the last norm, the output with a head as it was rounded, and the steps."""
        self.layers = tuple(layers)
        self.norm = norm
        self._output = output
        self._batches = batches
        self._segments = segments_of(output.spec)

    def changes(self) -> Iterator[torch.Tensor]:
        """Yield what is trained of scales and norms."""
        for layer in self.layers:
            yield from layer.changes()
        yield self.norm.change

    def latents(self) -> Iterator[torch.Tensor]:
        """Yield what is trained of weights."""
        for layer in self.layers:
            yield from layer.latents()

    def settle(self) -> None:
        """Bring what is trained back into the range of its format."""
        for layer in self.layers:
            layer.settle()

    @torch.no_grad()
    def divergence(self, lesson: Lesson, windows: slice) -> float:
        """Return the mean divergence from the original on some windows, in nats a token."""
        x = self._inputs(lesson, windows)
        for segment in self._segments:
            x = self._run(segment, x, lesson, windows)
        return mean_divergence(
            self._expected(lesson, windows), x, lesson.output.logits, self._logits, self._vocab
        )

    def learn(self, lesson: Lesson, windows: slice) -> float:
        """Add the gradient of the mean divergence on some windows to the parameters'.

        Returns:
            The divergence.
        """
        inputs = [self._inputs(lesson, windows)]
        with torch.no_grad():
            for segment in self._segments:
                inputs.append(self._run(segment, inputs[-1], lesson, windows))
        expected, last = self._expected(lesson, windows), inputs.pop()
        found, gradient = divergence_gradient(
            expected, last, lesson.output.logits, self._logits, self._vocab
        )
        for segment in reversed(self._segments):
            x = inputs.pop().requires_grad_()
            with torch.enable_grad():
                out = self._run(segment, x, lesson, windows)
            torch.autograd.backward(out, gradient)
            if x.grad is not None:
                gradient = x.grad
        return found

    def _run(self, segment: range, x: torch.Tensor, lesson: Lesson, windows: slice) -> torch.Tensor:
        layout = self._batches.layout(windows)
        caches: dict[int, Cache] = {}
        for index in segment:
            source = _source(self._output.spec, index)
            cache = caches.setdefault(source, self._cache(index))
            part = None
            if lesson.before.parts is not None:
                part = lesson.before.parts[index][windows].to(x.device).flatten(0, 1)
            x = self.layers[index].forward(x, layout, cache, part)
        return x

    def _cache(self, index: int) -> Cache:
        """Return a fresh cache that gradients may pass."""
        cache = self._batches.cache(index)
        if not isinstance(cache, StateCache):
            return cache
        # Those of several layers are cut out of one tensor, which nothing may be written into
        # while gradients are kept.
        recurrent = None if cache.recurrent is None else cache.recurrent.clone()
        return StateCache(cache.conv.clone(), recurrent)

    def _inputs(self, lesson: Lesson, windows: slice) -> torch.Tensor:
        return lesson.before.hidden[windows].to(self._batches.device).flatten(0, 1)

    def _expected(self, lesson: Lesson, windows: slice) -> torch.Tensor:
        return lesson.after[windows].to(self._batches.device).flatten(0, 1)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        norm = replace(self._output.norm, weight=self.norm.weight())
        return replace(self._output, norm=norm).logits(x)

    @property
    def _vocab(self) -> int:
        return self._output.spec.vocab_size


def _source(spec: DecoderSpec, index: int) -> int:
    """Return the layer whose cache a layer uses."""
    mixer = spec.layers[index].mixer
    shared = mixer.shares_kv_of if isinstance(mixer, AttentionSpec) else None
    return index if shared is None else shared
