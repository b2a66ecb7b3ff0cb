"""llama.cpp as a contestant, through llama-cpp-python.

The loop is that of llama.cpp's own server: a step decodes one token of each sequence whose prompt
is done, and fills up with tokens of prompts that are not. Tokens are chosen greedily from the
logits that come back, and end-of-text tokens end nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from localfp4.bench.engines.contestant import CaseFailedError, Loading
from localfp4.bench.engines.gguf_file import read_header
from localfp4.bench.engines.llama_library import (
    Context,
    IntArray,
    Library,
    LlamaError,
    Model,
    Piece,
    bindings_version,
    is_current,
)
from localfp4.bench.engines.peer import Peer, require_context
from localfp4.bench.engines.peer_device import PeerDevice
from localfp4.bench.records import About, Measured
from localfp4.bench.workload import Case, requests
from localfp4.checkpoint.display import shown
from localfp4.messages import LoadProgress

_CELLS = 256
"""Contexts are rounded up to this many cells: ``GGML_PAD`` in llama.cpp's KV cache."""

_ROUNDED = (
    "llama.cpp rounds activations to 8 bits in blocks of 32 or 256 before it multiplies them with "
    "quantised weights on a CPU."
)


def load(file: str, device: str | None, threads: int) -> Loading:
    """Load a GGUF file.

    Args:
        file: Its path.
        device: A torch device string; ``None`` takes a GPU where the library was built for one.
        threads: CPU threads.

    Raises:
        CaseFailedError: The library is missing or too old, or cannot load the file there.
    """
    started = time.perf_counter()
    yield LoadProgress("loading the file into llama.cpp")
    library = _library()
    where = PeerDevice.of(device, has_gpu=library.bindings.llama_supports_gpu_offload)
    try:
        model = library.load(file, where.index)
    except LlamaError as error:
        raise CaseFailedError(f"llama.cpp cannot load {shown(file)}: {error}.") from error
    header = read_header(Path(file))
    about = About(
        version=bindings_version(library.bindings),
        family=header.architecture,
        parameters=model.parameters,
        weight_format=header.weight_format,
        kernel_path=_kernel_path(library, where),
        device=where.name,
        dtype="float32" if where.index is None else "float16",
        weight_bytes=model.weight_bytes,
        load_s=time.perf_counter() - started,
        vocab_size=model.vocab_size,
        notes=(_ROUNDED,) if header.is_quantised and where.index is None else (),
    )
    return LlamaCpp(about, model, where, threads)


@dataclass(slots=True)
class LlamaCpp(Peer):
    """A loaded file.

    Attributes:
        about: What was loaded.
        model: It.
        where: Its device.
        threads: CPU threads.
        clock: Tells seconds.
    """

    about: About
    model: Model
    where: PeerDevice
    threads: int
    clock: Callable[[], float] = time.perf_counter
    _context: Context | None = field(default=None, init=False)
    _shape: tuple[int, int] = field(default=(0, 0), init=False)

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides, all added at once.

        Raises:
            CaseFailedError: The case exceeds the model's context, or llama.cpp refused.
        """
        require_context(case, self.model.trained_length)
        drawn = requests(case, self.model.vocab_size, Random(seed))
        prompts = [np.array(request.token_ids, np.int32) for request in drawn]
        try:
            context = self._context_for(case, prompts)
            _compute(context, [prompt[: case.depth] for prompt in prompts])
            with self.where.measured() as meter:
                arrivals = _answer(context, prompts, case, self.clock)
        except LlamaError as error:
            self._forget()
            raise CaseFailedError(f"llama.cpp failed: {error}.") from error
        return meter.with_arrivals(
            {request.id: times for request, times in zip(drawn, arrivals, strict=True)}, case
        )

    def close(self) -> None:
        """Free everything. May be called twice."""
        self._forget()
        self.model.close()
        self.where.close()

    def _context_for(self, case: Case, prompts: Sequence[IntArray]) -> Context:
        """Return an empty context of a case's size; a new one has been used once before."""
        shape = (case.batch, -(-case.length // _CELLS) * _CELLS)
        if self._context is None or shape != self._shape:
            self._forget()
            self._context, self._shape = self.model.context(*shape, self.threads), shape
            _compute(self._context, prompts)
        self._context.clear()
        return self._context

    def _forget(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.close()


def _compute(context: Context, beginnings: Sequence[IntArray]) -> None:
    """Fill sequences with tokens, answering nothing."""
    done = [0] * len(beginnings)
    while pieces := _of_prompts(beginnings, done, context.step_tokens):
        context.step([replace(piece, answers=False) for piece in pieces])
        for piece in pieces:
            done[piece.sequence] += len(piece.tokens)
    context.synchronize()


def _answer(
    context: Context, prompts: Sequence[IntArray], case: Case, clock: Callable[[], float]
) -> list[list[float]]:
    """Answer prompts whose beginnings, to the depth of the case, are in the context already.

    Returns:
        When each token of each answer came, in seconds from the beginning.
    """
    done = [case.depth] * case.batch
    newest: dict[int, int] = {}
    arrivals: list[list[float]] = [[] for _ in prompts]
    start = clock()
    while any(len(times) < case.output_tokens for times in arrivals):
        pieces = [
            Piece(np.array([token], np.int32), done[sequence], sequence, answers=True)
            for sequence, token in newest.items()
        ]
        pieces += _of_prompts(prompts, done, context.step_tokens - len(pieces))
        answers = context.step(pieces)
        now = clock() - start
        for piece in pieces:
            done[piece.sequence] += len(piece.tokens)
        answered = [piece.sequence for piece in pieces if piece.answers]
        for sequence, token in zip(answered, answers, strict=True):
            arrivals[sequence].append(now)
            newest[sequence] = token
            if len(arrivals[sequence]) == case.output_tokens:
                del newest[sequence]
    return arrivals


def _of_prompts(prompts: Sequence[IntArray], done: Sequence[int], room: int) -> list[Piece]:
    """Return what is left of prompts, in their order, as far as there is room."""
    pieces = []
    for sequence, prompt in enumerate(prompts):
        first = done[sequence]
        end = min(len(prompt), first + room)
        if first < end:
            pieces.append(Piece(prompt[first:end], first, sequence, answers=end == len(prompt)))
            room -= end - first
    return pieces


def _kernel_path(library: Library, where: PeerDevice) -> str:
    if where.index is not None:
        return "ggml, every layer on the GPU"
    return f"ggml on the CPU: {library.system}"


def _library() -> Library:
    try:
        import llama_cpp
    except ImportError as error:
        raise CaseFailedError(
            "llama-cpp-python is not installed: pip install llama-cpp-python", "missing"
        ) from error
    bindings: Any = llama_cpp
    if not is_current(bindings):
        version = bindings_version(bindings)
        raise CaseFailedError(
            f"llama-cpp-python {version} is too old: pip install -U llama-cpp-python", "missing"
        )
    return Library(bindings)
