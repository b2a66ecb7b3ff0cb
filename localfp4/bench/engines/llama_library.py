"""A thin layer on llama-cpp-python's bindings of llama.cpp's C API: a model, contexts, steps.

Knows pointers and structs, and nothing of what is measured. The bindings are imported by whoever
makes a :class:`Library`, so that this file costs nothing.
"""

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]

_LAYERS_ALL = 999
_ERROR = 4
"""``GGML_LOG_LEVEL_ERROR``."""

_NEEDED = (
    "llama_log_callback",
    "llama_model_load_from_file",
    "llama_model_get_vocab",
    "llama_init_from_model",
    "llama_get_memory",
    "llama_memory_clear",
)
"""The youngest of the functions that are used; the others are older."""


class LlamaError(Exception):
    """llama.cpp refused something; the message is what it said last."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbours in a sequence that go into a step.

    Attributes:
        tokens: Their ids, int32 ``[N]``.
        position: Of the first.
        sequence: Which of the context's.
        answers: Whether what follows the last is wanted.
    """

    tokens: IntArray
    position: int
    sequence: int
    answers: bool


class Library:
    """The bindings, told to keep quiet; what they complain about is remembered."""

    def __init__(self, bindings: Any) -> None:
        self.bindings = bindings
        self._complaint = ""
        # The callback must live as long as the library may call it.
        self._callback = bindings.llama_log_callback(self._hear)
        logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
        bindings.llama_log_set(self._callback, ctypes.c_void_p(0))
        bindings.llama_backend_init()

    @property
    def system(self) -> str:
        """What it was built to use, such as ``AVX2 FMA F16C``."""
        told = self.bindings.llama_print_system_info().decode("utf-8", "replace")
        features = told.replace("CPU :", "").split("|")
        return " ".join(f.partition("=")[0].strip() for f in features if f.strip().endswith("= 1"))

    def load(self, file: str, gpu: int | None) -> "Model":
        """Load a file, onto a GPU as a whole where one is given.

        Raises:
            LlamaError: It cannot.
        """
        params = self.bindings.llama_model_default_params()
        params.n_gpu_layers = 0 if gpu is None else _LAYERS_ALL
        if gpu is not None:
            params.split_mode = self.bindings.LLAMA_SPLIT_MODE_NONE
            params.main_gpu = gpu
        pointer = self.bindings.llama_model_load_from_file(file.encode(), params)
        if not pointer:
            raise self.error("the file could not be loaded")
        return Model(self, pointer, on_gpu=gpu is not None)

    def error(self, otherwise: str) -> LlamaError:
        """Return the last complaint as an error."""
        said, self._complaint = self._complaint, ""
        return LlamaError(said or otherwise)

    def _hear(self, level: int, text: bytes, data: Any) -> None:
        if level == _ERROR:
            self._complaint = text.decode("utf-8", "replace").strip()


class Model:
    """Loaded weights."""

    def __init__(self, library: Library, pointer: Any, on_gpu: bool) -> None:
        self.api = library
        self.on_gpu = on_gpu
        self.pointer = pointer
        bindings = library.bindings
        vocabulary = bindings.llama_model_get_vocab(pointer)
        self.vocab_size: int = bindings.llama_vocab_n_tokens(vocabulary)
        self.parameters: int = bindings.llama_model_n_params(pointer)
        self.weight_bytes: int = bindings.llama_model_size(pointer)
        self.trained_length: int = bindings.llama_model_n_ctx_train(pointer)

    def context(self, sequences: int, length: int, threads: int) -> "Context":
        """Make room for sequences of a length.

        Raises:
            LlamaError: There is none.
        """
        bindings = self.api.bindings
        params = bindings.llama_context_default_params()
        params.n_ctx = sequences * length
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        # Sequences that share nothing attend faster apart: llama.cpp, pull request 14363.
        params.kv_unified = False
        params.no_perf = True
        # As in llama.cpp's own programs: layers with a window keep no more than that.
        params.swa_full = False
        if not self.on_gpu:
            params.offload_kqv = params.op_offload = False
        pointer = bindings.llama_init_from_model(self.pointer, params)
        if not pointer:
            raise self.api.error("there is not enough memory for the context")
        return Context(self, pointer)

    def close(self) -> None:
        """Free it. May be called twice."""
        pointer, self.pointer = self.pointer, None
        if pointer:
            self.api.bindings.llama_model_free(pointer)


class Context:
    """A KV cache, and the steps that fill it."""

    def __init__(self, model: Model, pointer: Any) -> None:
        self._api = model.api
        self._bindings = model.api.bindings
        self._vocab_size = model.vocab_size
        self._pointer = pointer
        self.step_tokens: int = self._bindings.llama_n_batch(pointer)
        self._rows = _Rows(self._bindings, self.step_tokens)
        self._memory = self._bindings.llama_get_memory(pointer)

    def clear(self) -> None:
        """Forget all sequences."""
        self._bindings.llama_memory_clear(self._memory, True)

    def step(self, pieces: Sequence[Piece]) -> list[int]:
        """Compute pieces, of at most ``step_tokens`` in all; greedy.

        Returns:
            What follows each piece that answers, in their order; the device is done.

        Raises:
            LlamaError: It failed.
        """
        answering = self._rows.fill(pieces)
        status = self._bindings.llama_decode(self._pointer, self._rows.batch)
        if status:
            raise self._api.error(f"llama_decode returned {status}")
        return [self._greedy(row) for row in answering]

    def synchronize(self) -> None:
        """Wait until the device is done."""
        self._bindings.llama_synchronize(self._pointer)

    def close(self) -> None:
        """Free it. May be called twice."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            self._bindings.llama_free(pointer)

    def _greedy(self, row: int) -> int:
        logits = self._bindings.llama_get_logits_ith(self._pointer, row)
        return int(np.ctypeslib.as_array(logits, (self._vocab_size,)).argmax())


class _Rows:
    """A ``llama_batch`` over arrays that whole pieces are copied into at once.

    Writing token by token from Python would be a tenth of the time that a fast GPU needs for them.
    """

    def __init__(self, bindings: Any, rows: int) -> None:
        self._token, self._position, self._sequence = (np.zeros(rows, np.int32) for _ in range(3))
        self._answers = np.zeros(rows, np.int8)
        self._one = np.ones(rows, np.int32)
        # Every token has a list of sequences, of which this is one each.
        strides = np.arange(rows, dtype=np.uintp) * self._sequence.itemsize
        self._lists = self._sequence.ctypes.data + strides
        self.batch = bindings.llama_batch()
        arrays: dict[str, npt.NDArray[Any]] = {
            "token": self._token,
            "pos": self._position,
            "n_seq_id": self._one,
            "seq_id": self._lists,
            "logits": self._answers,
        }
        for name, array in arrays.items():
            kind = dict(bindings.llama_batch._fields_)[name]
            setattr(self.batch, name, ctypes.cast(array.ctypes.data, kind))

    def fill(self, pieces: Sequence[Piece]) -> list[int]:
        """Copy pieces; returns the rows that answer."""
        answering, first = [], 0
        for piece in pieces:
            end = first + len(piece.tokens)
            self._token[first:end] = piece.tokens
            self._position[first:end] = np.arange(piece.position, piece.position + end - first)
            self._sequence[first:end] = piece.sequence
            self._answers[first:end] = 0
            if piece.answers:
                self._answers[end - 1] = 1
                answering.append(end - 1)
            first = end
        self.batch.n_tokens = first
        return answering


def is_current(bindings: Any) -> bool:
    """Say whether bindings have all that is used."""
    return all(hasattr(bindings, name) for name in _NEEDED)


def bindings_version(bindings: Any) -> str:
    """Return the version of llama-cpp-python; empty where it does not tell."""
    return str(getattr(bindings, "__version__", ""))
