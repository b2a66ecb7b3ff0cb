"""A torch-free engine for tests of what stands above it; its moods are chosen by words.

The model's name decides how loading goes, words of the prompt what a step does. Imported by name
inside the engine process, so it stands alone.
"""

import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from localfp4.config import EngineConfig, SamplingParams
from localfp4.errors import CheckpointError, ModelNotFoundError, RequestError
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    LoadProgress,
    ModelInfo,
    Request,
    Started,
    Stats,
    ToolCall,
)


class AcceleratorError(RuntimeError):
    """Named as torch names it."""


class PrivateError(CheckpointError):
    """A kind of error that the front end does not know."""


def load_engine(config: EngineConfig) -> Generator[LoadProgress, None, "FakeEngine"]:
    yield LoadProgress("Reading weights", 1, 2)
    match Path(config.model).name:
        case "missing":
            raise ModelNotFoundError("There is no model named 'missing'.")
        case "damaged":
            raise PrivateError("model.safetensors is truncated.")
        case "buggy":
            raise RuntimeError("boom\nsecond line")
        case "huge":
            raise MemoryError
        case "fatal":
            os.abort()
        case "endless":
            while True:
                time.sleep(0.02)
                yield LoadProgress("Reading weights", 1, 2)
    if config.model == "chatty":
        print("chatter on stdout")
    yield LoadProgress("Reading weights", 2, 2)
    return FakeEngine(config)


@dataclass
class Job:
    """A request and the words it will be answered with."""

    request: Request
    words: list[str]
    done: int = 0


class FakeEngine:
    """Answers with the words of the prompt, one per step; ``repeat N`` asks for N slow words."""

    def __init__(self, config: EngineConfig) -> None:
        self.jobs: dict[str, Job] = {}
        self.outbox: list[Event] = []
        self.prompts = FakePrompts()
        self.info = ModelInfo(
            name=config.model,
            family="fake",
            parameters=1,
            weight_format="none",
            kernel_path="none",
            device="cpu",
            dtype="float32",
            max_model_len=config.max_model_len or 128,
            kv_cache_tokens=128,
            weight_bytes=0,
            kv_cache_bytes=0,
            load_s=0.5,
            has_chat_template=Path(config.model).name != "base",
            thinks="never" if Path(config.model).name == "thoughtless" else "asked",
            sampling=SamplingParams(temperature=0.6, top_k=20),
        )

    def prepare(self, request: Request, *, arrived_s: float) -> Request:
        if request.prompt is not None and "broken" in request.prompt:
            raise RuntimeError("a template went wrong")
        return request

    def enter(self, prepared: Request | Failed) -> None:
        if isinstance(prepared, Failed):
            self.outbox.append(prepared)
        else:
            self.add(prepared)

    def add(self, request: Request) -> None:
        if request.messages is not None:
            text = request.messages[-1]["content"]
            if text == "turns?":
                text = " ".join(f"{m['role']}={m['content']}" for m in request.messages)
        else:
            text = f"plain {request.prompt}"
        if text == "sampling?":
            text = repr(request.sampling).replace(" ", "")
        if text == "thinking?":
            text = f"thinking={request.thinking} reasoning_effort={request.reasoning_effort}"
        words = text.split()
        if "refuse" in words:
            self.outbox.append(Failed(request.id, "The prompt is longer than the context."))
            return
        if "repeat" in words:
            words = ["again"] * int(words[-1])
        self.jobs[request.id] = Job(request, words)
        self.outbox.append(Started(request.id, len(words)))

    def cancel(self, request_id: str) -> None:
        if job := self.jobs.pop(request_id, None):
            self.outbox.append(_finished(job, "cancelled"))

    def step(self) -> list[Event]:
        for job in list(self.jobs.values()):
            self._advance(job)
        events, self.outbox = self.outbox, []
        return events

    def _advance(self, job: Job) -> None:
        limit = job.request.sampling.max_tokens or 1_000_000
        if job.done == min(len(job.words), limit):
            del self.jobs[job.request.id]
            self.outbox.append(_finished(job, "stop" if job.done < limit else "length"))
            return
        word = job.words[job.done]
        match word:
            case "crash":
                raise RuntimeError("a kernel went wrong")
            case "escape":
                word = "\x1b[31mred\x1b[0m"
            case "oom":
                del self.jobs[job.request.id]
                self.outbox.append(
                    Failed(job.request.id, "Memory ran out on cpu; use a smaller --ctx.")
                )
                return
            case "reset":
                raise AcceleratorError("CUDA error: unspecified launch failure")
            case "abort":
                os.abort()
            case "hang":
                time.sleep(1000)
            case "again":
                time.sleep(0.002)
            case "ponder" | "call":
                job.done += 1
                self.outbox.append(_without_text(job.request.id, word))
                return
        job.done += 1
        self.outbox.append(Delta(job.request.id, word if job.done == 1 else f" {word}", (7,)))

    def has_work(self) -> bool:
        return bool(self.jobs or self.outbox)

    def stats(self) -> Stats:
        running = len(self.jobs)
        return Stats("decode" if running else "idle", running, 0, 0.0, 0, 0, 0, 128, 1, 2)

    def save(self) -> bool:
        return False

    def close(self) -> None:
        self.jobs.clear()


class FakePrompts:
    """Words and the places of letters; texts with ``refuse`` in them have none."""

    def count(self, text: str) -> int:
        words = text.split()
        if "crash" in words:
            raise RuntimeError("a tokenizer went wrong")
        if "refuse" in words:
            raise RequestError("The model folder has no tokenizer.json.")
        return len(words)

    def token_ids(self, request: Request) -> list[int]:
        text = request.prompt or ""
        self.count(text)
        return list(map(ord, text))

    def decode(self, token_ids: tuple[int, ...]) -> str:
        return "".join(self.texts(token_ids))

    def texts(self, token_ids: tuple[int, ...]) -> list[str]:
        if -1 in token_ids:
            raise RequestError("Token id -1 is not in the vocabulary.")
        return list(map(chr, token_ids))


def _without_text(request_id: str, word: str) -> Delta:
    if word == "ponder":
        return Delta(request_id, "", (7,), reasoning="Let me think.")
    return Delta(request_id, "", (7,), tool_calls=(ToolCall(0, "123456789", "weather", "{}"),))


def _finished(job: Job, reason: FinishReason) -> Finished:
    return Finished(job.request.id, reason, len(job.words), 0, job.done, 0.01, 0.05)
