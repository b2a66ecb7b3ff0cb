"""The Python API: a model in this process."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self, Unpack

import torch

from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.errors import RequestError
from localfp4.evaluate.scorer import TokenScores
from localfp4.llm.open_engine import OpenEngine, closed
from localfp4.llm.partial import PartialCompletion
from localfp4.llm.prompts import (
    ChatSettings,
    Conversation,
    Prompt,
    conversations,
    each_sampling,
    make_request,
)
from localfp4.llm.scorer import LlmScorer
from localfp4.messages import (
    Completion,
    Constraint,
    Delta,
    Event,
    Finished,
    ModelInfo,
    Request,
)
from localfp4.runner.work import Collect

_SCORED_TOGETHER = 256
"""Sequences that wait in the engine at a time: enough to fill its steps to the last."""


class LLM:
    """A loaded model. Close it, or use it as a context manager, to free its memory.

    Everything runs through the same paged, batched engine as the chat. Not safe to share
    between threads.

    Args:
        model: A folder, ``org/repo[@revision]``, or ``demo``.
        device: A torch device; ``None`` picks CUDA where there is one, else the CPU.
        dtype: Compute type; ``auto`` chooses by device and memory.
        max_model_len: Longest context in tokens; ``None`` takes what model and memory allow.
        kv_cache_dtype: Type of the KV cache; ``auto`` is FP8 where kernels run on a GPU that
            converts it in hardware, else the compute type.
        kv_cache_tokens: Size of the KV cache in tokens; ``None`` sizes it from free memory.
        max_batch: Most sequences that decode together.
        max_step_tokens: Most tokens in one step; longer prompts are prefilled in chunks. ``None``
            chooses by device.
        prefix_caching: Reuse the pages of prompts that share a beginning.
        threads: CPU threads; ``None`` takes every core.
        precision: Width of weights and activations: ``auto``, ``bf16``, ``w4a16``, ``w4a8`` or
            ``w4a4``.
        rounding: What 16-bit weights are rounded to while they are loaded: ``nvfp4``, ``mxfp4``,
            ``fp8`` or ``int4``; ``None`` leaves them.
        kernels: ``triton``, ``torch``, or ``auto``: Triton on a GPU, torch on a CPU; ``emulated``
            is torch that rounds the inputs of quantised linears as kernels on an RTX 50 do.
        vram_limit: Most bytes of GPU memory to use; what does not fit stays in main memory.
        speculation: What guesses tokens ahead: ``auto``, ``off``, ``ngram``, ``mtp`` or ``draft``.
            Answers are the same.
        draft_model: The model that guesses, for ``draft``; named as ``model`` is.
        kv_ram_bytes: Main memory for pages that the GPU's KV cache gives away; ``None`` chooses.
        kv_disk: A folder where pages of the KV cache are kept between runs.
        cuda_graphs: Replay recorded steps on a GPU instead of launching each kernel.

    Raises:
        UserError: The model cannot be found, read, supported or fitted into memory.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        dtype: str = "auto",
        max_model_len: int | None = None,
        kv_cache_dtype: str = "auto",
        *,
        kv_cache_tokens: int | None = None,
        max_batch: int = 64,
        max_step_tokens: int | None = None,
        prefix_caching: bool = True,
        threads: int | None = None,
        precision: str = "auto",
        rounding: str | None = None,
        kernels: str = "auto",
        vram_limit: int | None = None,
        speculation: str = "auto",
        draft_model: str | None = None,
        kv_ram_bytes: int | None = None,
        kv_disk: str | None = None,
        cuda_graphs: bool = True,
    ) -> None:
        config = EngineConfig(
            model=str(model),
            device=device,
            dtype=dtype,
            max_model_len=max_model_len,
            kv_cache_dtype=kv_cache_dtype,
            kv_cache_tokens=kv_cache_tokens,
            max_batch=max_batch,
            max_step_tokens=max_step_tokens,
            prefix_caching=prefix_caching,
            threads=threads,
            precision=precision,
            rounding=rounding,
            kernels=kernels,
            vram_limit=vram_limit,
            speculation=speculation,
            draft_model=draft_model,
            kv_ram_bytes=kv_ram_bytes,
            kv_disk=kv_disk,
            cuda_graphs=cuda_graphs,
        )
        self._engine: OpenEngine | None = OpenEngine.load(config)

    @property
    def info(self) -> ModelInfo:
        """What was loaded."""
        return self._running().info

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        constraint: Constraint | None = None,
    ) -> list[Completion]:
        """Continue each prompt and return the answers in order.

        Args:
            prompts: Texts or ``{"prompt_token_ids": [...]}``; one alone counts as a list of one.
            sampling_params: One for all, or one each; ``None`` takes the model's own defaults.
            constraint: The form of the answers, such as JSON of a schema.

        Raises:
            UserError: A prompt is empty, too long, or needs a tokenizer the model lacks, or the
                constraint cannot be enforced.
        """
        listed = [prompts] if isinstance(prompts, str | Mapping) else list(prompts)
        settings = ChatSettings(constraint=constraint)
        return self._complete(self._requests(listed, sampling_params, settings))

    def chat(
        self,
        messages: Conversation | Sequence[Conversation],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        **settings: Unpack[ChatSettings],
    ) -> list[Completion]:
        """Answer one conversation, or several, through the model's chat template.

        Args:
            messages: The turns of one conversation, or several conversations.
            sampling_params: One for all, or one each; ``None`` takes the model's own defaults.
            **settings: Tools and thinking: see :class:`~localfp4.llm.prompts.ChatSettings`.

        Raises:
            UserError: A conversation is empty or too long, or the model has no chat template.
        """
        return self._complete(self._requests(conversations(messages), sampling_params, settings))

    def stream(
        self,
        prompt: Prompt | Conversation,
        sampling_params: SamplingParams | None = None,
        **settings: Unpack[ChatSettings],
    ) -> Iterator[Delta]:
        """Yield one answer piece by piece; ending the iteration early cancels it.

        Raises:
            UserError: As :meth:`generate` and :meth:`chat`.
        """
        for event in self.events(prompt, sampling_params, **settings):
            if isinstance(event, Delta):
                yield event

    def events(
        self,
        prompt: Prompt | Conversation,
        sampling_params: SamplingParams | None = None,
        **settings: Unpack[ChatSettings],
    ) -> Iterator[Event]:
        """Yield everything about one answer: ``Started``, each ``Delta``, and ``Finished``.

        Raises:
            UserError: As :meth:`generate` and :meth:`chat`.
        """
        yield from self._open().run(self._requests([prompt], sampling_params, settings))

    def score(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Return the log-probability of each token after the first, float32 ``[T - 1]``."""
        [chunks] = self._open().collect([token_ids], Collect.SCORES)
        return torch.tensor([score for chunk in chunks for score in chunk.scores])

    def scores(
        self, sequences: Sequence[Sequence[int]], given: Sequence[int] | None = None
    ) -> list[TokenScores]:
        """Return what the model thinks of the tokens of several sequences, which run together.

        Args:
            sequences: Of at least two token ids each.
            given: How many ids of each are only read, at least 1; those after them are scored.
                ``None`` scores all but the first. What several have in common at the beginning may
                be computed once.

        Raises:
            UserError: A sequence is too short or too long, or holds impossible ids.
        """
        given = [1] * len(sequences) if given is None else given
        for ids, first in zip(sequences, given, strict=True):
            if not 1 <= first < len(ids):
                raise RequestError(
                    f"{len(ids)} tokens of which {first} are given leave nothing to score; give at "
                    "least one, and one more."
                )
        found: list[TokenScores] = []
        for start in range(0, len(sequences), _SCORED_TOGETHER):
            batch = slice(start, start + _SCORED_TOGETHER)
            for chunks in self._open().collect(sequences[batch], Collect.SCORES, given[batch]):
                logprobs = tuple(score for chunk in chunks for score in chunk.scores)
                greedy = tuple(one for chunk in chunks for one in chunk.greedy)
                found.append(TokenScores(logprobs, greedy))
        return found

    def scorer(self) -> LlmScorer:
        """Return what evaluations take, over this model.

        Raises:
            UserError: The model has no tokenizer.
        """
        return LlmScorer(self, self._running().prompts)

    def logits(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Return the logits at every position, float32 ``[T, vocab]`` on the CPU."""
        [chunks] = self._open().collect([token_ids], Collect.LOGITS)
        return torch.cat([chunk.logits for chunk in chunks if chunk.logits is not None])

    def close(self) -> None:
        """Free the model's memory. May be called twice."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _running(self) -> Engine:
        return self._open().engine

    def _open(self) -> OpenEngine:
        if self._engine is None:
            raise closed()
        return self._engine

    def _requests(
        self,
        prompts: Sequence[Prompt | Conversation],
        params: SamplingParams | Sequence[SamplingParams] | None,
        settings: ChatSettings | None = None,
    ) -> list[Request]:
        each = each_sampling(self.info.sampling if params is None else params, len(prompts))
        names = self._open().names
        return [
            make_request(next(names), prompt, p, settings or {})
            for prompt, p in zip(prompts, each, strict=True)
        ]

    def _complete(self, requests: Sequence[Request]) -> list[Completion]:
        answers = {request.id: PartialCompletion() for request in requests}
        for event in self._open().run(requests):
            if isinstance(event, Delta):
                answers[event.id].add(event)
            elif isinstance(event, Finished):
                answers[event.id].finish_reason = event.reason
        return [answers[r.id].completion(r.sampling.logprobs is not None) for r in requests]
