"""The functions of llama-cpp-python that are used, over a model that counts upwards."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

VOCAB = 50
Fed = tuple[int, int, int, bool]


class _Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


@dataclass
class FakeLlama:
    """The module.

    Attributes:
        steps: What each step was fed: token, position, sequence, whether it answers.
        contexts: Parameters of contexts that were made.
        freed: What was freed, in order.
        step_tokens: Most tokens of a step.
        fails_at: Number of the step that fails, counted from 0.
        loads: Whether files can be loaded.
        has_gpu: Whether it was built for GPUs.
    """

    steps: list[list[Fed]] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)
    step_tokens: int = 8
    fails_at: int | None = None
    loads: bool = True
    has_gpu: bool = False
    parameters: Any = None
    __version__: str = "0.3.99"
    LLAMA_SPLIT_MODE_NONE: int = 0
    llama_batch: type[_Batch] = _Batch

    def __post_init__(self) -> None:
        self._log: Callable[[int, bytes, None], None] = lambda level, text, data: None
        self._rows: list[Any] = []

    def llama_log_callback(self, function: Any) -> Any:
        return function

    def llama_log_set(self, callback: Any, data: Any) -> None:
        self._log = callback

    def llama_backend_init(self) -> None:
        self._log(2, b"hello", None)

    def llama_supports_gpu_offload(self) -> bool:
        return self.has_gpu

    def llama_print_system_info(self) -> bytes:
        return b"CPU : AVX2 = 1 | FMA = 1 | AVX512 = 0 | "

    def llama_model_default_params(self) -> Any:
        return SimpleNamespace(n_gpu_layers=-1, split_mode=1, main_gpu=0)

    def llama_model_load_from_file(self, file: bytes, params: Any) -> Any:
        self.parameters = params
        if not self.loads:
            self._log(4, b"unknown model architecture: 'new'\n", None)
        return object() if self.loads else None

    def llama_model_get_vocab(self, model: Any) -> Any:
        return model

    def llama_vocab_n_tokens(self, vocabulary: Any) -> int:
        return VOCAB

    def llama_model_n_params(self, model: Any) -> int:
        return 1000

    def llama_model_size(self, model: Any) -> int:
        return 562

    def llama_model_n_ctx_train(self, model: Any) -> int:
        return 300

    def llama_context_default_params(self) -> Any:
        return SimpleNamespace()

    def llama_init_from_model(self, model: Any, params: Any) -> Any:
        self.contexts.append(params)
        return object()

    def llama_n_batch(self, context: Any) -> int:
        return self.step_tokens

    def llama_get_memory(self, context: Any) -> Any:
        return context

    def llama_memory_clear(self, memory: Any, data: bool) -> None:
        self.steps.append([])

    def llama_synchronize(self, context: Any) -> None:
        pass

    def llama_decode(self, context: Any, batch: _Batch) -> int:
        fed = [
            (batch.token[n], batch.pos[n], batch.seq_id[n][0], bool(batch.logits[n]))
            for n in range(batch.n_tokens)
        ]
        if self.fails_at == sum(map(bool, self.steps)):
            return 1
        self.steps.append(fed)
        self._rows = [np.eye(VOCAB, dtype=np.float32)[(token + 1) % VOCAB] for token, *_ in fed]
        return 0

    def llama_get_logits_ith(self, context: Any, row: int) -> Any:
        return self._rows[row].ctypes.data_as(ctypes.POINTER(ctypes.c_float))

    def llama_free(self, context: Any) -> None:
        self.freed.append("context")

    def llama_model_free(self, model: Any) -> None:
        self.freed.append("model")

    def answering(self) -> Sequence[Sequence[Fed]]:
        """What was fed since the memory was cleared last."""
        last = max(n for n, step in enumerate(self.steps) if not step)
        return self.steps[last + 1 :]
