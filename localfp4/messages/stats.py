"""A snapshot of a running engine; stdlib only, picklable."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of the running engine, sent a few times a second while it works.

    Attributes:
        phase: ``idle``, ``prefill`` or ``decode``.
        running: Sequences in the batch.
        waiting: Sequences in the queue.
        tokens_per_s: Generated tokens per second over the last moment, all sequences together.
        prefill_done: Prompt tokens processed of those being prefilled.
        prefill_total: Prompt tokens to process.
        kv_used_tokens: Tokens of the KV cache in use by live sequences.
        kv_total_tokens: Size of the KV cache in tokens.
        memory_used_bytes: GPU memory in use on the device, or this process's resident memory on
            a CPU.
        memory_total_bytes: Memory of the device, or of the computer.
        drafted_tokens: Guesses at tokens that the model checked since it was loaded.
        accepted_tokens: Those of them that were right.
        memory_engine_bytes: Memory of the device that this engine holds.
        preempted: How often a sequence has given way to others since the model was loaded.
    """

    phase: Literal["idle", "prefill", "decode"]
    running: int
    waiting: int
    tokens_per_s: float
    prefill_done: int
    prefill_total: int
    kv_used_tokens: int
    kv_total_tokens: int
    memory_used_bytes: int
    memory_total_bytes: int
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    memory_engine_bytes: int = 0
    preempted: int = 0
