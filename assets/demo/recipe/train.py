"""Trains the network on packed rows, the last part of it with weights rounded to NVFP4.

Knows nothing of conversations. It can be stopped at any time and resumes from its checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from localfp4_kernels.formats.nvfp4 import dequantize_nvfp4_torch, quantize_nvfp4_torch
from recipe.corpus import Rows
from recipe.model import Network, Shape


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    steps: int
    minutes: float = math.inf
    matrix_rate: float = 2e-3
    other_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: int = 60
    hold_until: float = 0.55
    rounded_from: float = 0.85
    long_every: int = 8
    prompt_weight: float = 0.07
    seed: int = 1
    save_every_s: float = 300.0
    muon: bool = True


class Trainer:
    """The network, its optimizers and how far it has come."""

    def __init__(self, shape: Shape, plan: Plan, folder: Path) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.file = plan, folder / "training.pt"
        self.network = Network(shape)
        self.matrices = [
            p for n, p in self.network.named_parameters() if p.ndim == 2 and n != "embed"
        ]
        others = [p for n, p in self.network.named_parameters() if p.ndim != 2 or n == "embed"]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                others, lr=plan.other_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
            torch.optim.Muon(
                self.matrices,
                lr=plan.matrix_rate,
                weight_decay=plan.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
            if plan.muon
            else torch.optim.AdamW(
                self.matrices,
                lr=plan.matrix_rate,
                betas=(0.9, 0.98),
                weight_decay=plan.weight_decay,
                fused=True,
            ),
        ]
        self.rates = [plan.other_rate, plan.matrix_rate]
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.loss = torch.compile(self._loss, dynamic=False)
        if self.file.exists():
            self._resume()

    def progress(self) -> float:
        """Share of the plan that is done, by steps or by time, whichever is further."""
        return max(self.step / self.plan.steps, self.seconds / 60 / self.plan.minutes)

    def run(self, rows: Rows, long_rows: Rows, batch_tokens: int, until: float) -> None:
        """Train to that step, or to the end of the plan, saving as it goes."""
        last = saved = time.monotonic()
        recent: list[float] = []
        while self.progress() < 1 and self.step < until:
            recent.append(self._learn(*self._batch(rows, long_rows, batch_tokens)))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if self.step % 10 == 0:
                speed = self.tokens / self.seconds
                print(
                    f"step {self.step} loss {np.mean(recent):.4f} progress {self.progress():.3f} "
                    f"tokens {self.tokens / 1e6:.2f}M {speed:.0f} tok/s {self.seconds / 60:.1f} min",
                    flush=True,
                )
                recent.clear()
            if now - saved > self.plan.save_every_s:
                self.save()
                saved = now
        self.save()

    def save(self) -> None:
        """Write everything needed to go on, replacing the last checkpoint at once."""
        state = {
            "network": self.network.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.file)

    def _resume(self) -> None:
        state = torch.load(self.file, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]

    def _batch(
        self, rows: Rows, long_rows: Rows, batch_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        turn, of_long = divmod(self.step, self.plan.long_every)
        chosen, number = (long_rows, turn) if of_long == 0 else (rows, self.step - turn - 1)
        count = batch_tokens // chosen.ids.shape[1]
        picked = (number * count + np.arange(count)) % len(chosen.ids)
        parts = (chosen.ids[picked], chosen.spoken[picked], chosen.document[picked])
        ids, spoken, document = (torch.from_numpy(part.astype(np.int64)) for part in parts)
        return ids, spoken, document

    def _learn(self, ids: Tensor, spoken: Tensor, document: Tensor) -> float:
        self._set_rates()
        weight = torch.where(spoken[:, 1:] == 1, 1.0, self.plan.prompt_weight)
        weight = weight * ((document[:, 1:] > 0) & (document[:, 1:] == document[:, :-1]))
        weight = F.pad(weight, (0, 1))
        mask = document_mask(document)
        with self._weights_as_used():
            loss = self.loss(ids, ids.roll(-1, 1), weight, mask)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += ids.numel()
        return loss.item()

    def _loss(self, ids: Tensor, targets: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        hidden = self.network(ids, mask, torch.bfloat16)
        logits = self.network.logits(hidden).float().flatten(0, 1)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
        return (losses * weight.flatten()).sum() / weight.sum()

    def _set_rates(self) -> None:
        """Warm up, hold, then fall in a straight line to a fiftieth."""
        done, hold = self.progress(), self.plan.hold_until
        factor = min(1.0, (self.step + 1) / self.plan.warm_up)
        factor *= 1.0 if done < hold else 1.0 - 0.98 * (min(done, 1.0) - hold) / (1 - hold)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    @contextmanager
    def _weights_as_used(self) -> Iterator[None]:
        """Near the end gradients are taken at the rounded weights and applied to the exact ones."""
        if self.progress() < self.plan.rounded_from:
            yield
            return
        exact = [weight.detach().clone() for weight in self.matrices]
        with torch.no_grad():
            for weight in self.matrices:
                weight.copy_(dequantize_nvfp4_torch(quantize_nvfp4_torch(weight)))
        yield
        with torch.no_grad():
            for weight, kept in zip(self.matrices, exact, strict=True):
                weight.copy_(kept)


def document_mask(document: Tensor) -> Tensor:
    """0 where a token may look, [B, 1, T, T]: earlier tokens of its own conversation."""
    length = document.shape[1]
    same = document[:, :, None] == document[:, None, :]
    allowed = same & torch.ones(length, length, dtype=torch.bool).tril()
    blank = torch.zeros(allowed.shape, dtype=torch.bfloat16)
    return blank.masked_fill_(~allowed, -1e4)[:, None]
