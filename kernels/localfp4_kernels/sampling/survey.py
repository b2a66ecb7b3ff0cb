"""The first look at logits: per block, the largest one and the sum that normalises the row."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.launch import Launch
from localfp4_kernels.sampling.numbers import below, load_block
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class Blocks:
    """How rows of logits are cut, so that one row occupies many multiprocessors.

    Attributes:
        vocab: Logits in a row.
        span: Logits in a block, a power of two.
    """

    vocab: int
    span: int

    @classmethod
    def of(cls, vocab: int, target: Target) -> "Blocks":
        """Cut for a target: into blocks of 2048, or of 4096 where those fill half of it already.

        Kernels hold 16 numbers of every block of a row at once, so 2**18 logits are cut widely.
        """
        wide = vocab > 2**18 or 2 * triton.cdiv(vocab, 4096) >= target.multiprocessors
        return cls(vocab, 4096 if wide else 2048)

    @property
    def count(self) -> int:
        """Blocks in a row."""
        return int(triton.cdiv(self.vocab, self.span))

    @property
    def num_warps(self) -> int:
        """Warps for kernels that read blocks, so that a thread holds 16 logits."""
        return self.span // 512

    @property
    def constants(self) -> dict[str, int]:
        """What every kernel that reads blocks is compiled for."""
        return {"V": self.vocab, "SPAN": self.span}

    @property
    def row_constants(self) -> dict[str, int]:
        """What every kernel that reads one number per block of a row is compiled for."""
        return {"BLOCKS": self.count, "LANES": int(triton.next_power_of_2(self.count))}


@dataclass(frozen=True, slots=True)
class Survey:
    """Per row and block, all ``[R, blocks]``.

    Attributes:
        peak: float32, the largest logit.
        best: int32, the lowest token id that has it.
        raw_peak: float32, the largest unmodified logit.
        raw_sum: float32, the sum of ``exp(x - raw_peak)`` over unmodified logits.
    """

    peak: torch.Tensor
    best: torch.Tensor
    raw_peak: torch.Tensor
    raw_sum: torch.Tensor

    @property
    def arguments(self) -> dict[str, torch.Tensor]:
        """The four tensors as kernel arguments."""
        return {
            "peak_ptr": self.peak,
            "best_ptr": self.best,
            "raw_peak_ptr": self.raw_peak,
            "raw_sum_ptr": self.raw_sum,
        }


@triton.jit
def _survey_kernel(
    logits_ptr,
    unmodified_ptr,
    peak_ptr,
    best_ptr,
    raw_peak_ptr,
    raw_sum_ptr,
    V: tl.constexpr,
    SPAN: tl.constexpr,
):
    """One block of one row."""
    row, block = tl.program_id(0), tl.program_id(1)
    place = row * tl.num_programs(1) + block
    x, token = load_block(logits_ptr, row, block, V, SPAN)
    peak, best = tl.max(x, 0, return_indices=True, return_indices_tie_break_left=True)
    tl.store(peak_ptr + place, peak)
    tl.store(best_ptr + place, block * SPAN + best)
    if unmodified_ptr is not None:
        x, token = load_block(unmodified_ptr, row, block, V, SPAN)
        peak = tl.max(x, 0)
    relative = tl.exp(below(x, peak))
    tl.store(raw_peak_ptr + place, peak)
    tl.store(raw_sum_ptr + place, tl.sum(tl.where(token < V, relative, 0.0), 0))


def survey_launch(
    logits: torch.Tensor, unmodified: torch.Tensor | None, blocks: Blocks
) -> tuple[Launch, Survey]:
    """Plan the survey of float32 logits ``[R, V]``."""
    shape = (logits.shape[0], blocks.count)
    peak, raw_peak, raw_sum = (logits.new_empty(shape) for _ in range(3))
    survey = Survey(peak, logits.new_empty(shape, dtype=torch.int32), raw_peak, raw_sum)
    launch = Launch(
        kernel=_survey_kernel,
        grid=shape,
        arguments={"logits_ptr": logits, "unmodified_ptr": unmodified, **survey.arguments},
        constants=blocks.constants,
        num_warps=blocks.num_warps,
    )
    return launch, survey


@triton.jit
def row_peak(peak_ptr, row, BLOCKS: tl.constexpr, LANES: tl.constexpr):
    """Return the largest of a row's block peaks, and the first block that has it."""
    block = tl.arange(0, LANES)
    peaks = tl.load(peak_ptr + row * BLOCKS + block, mask=block < BLOCKS, other=float("-inf"))
    return tl.max(peaks, 0, return_indices=True, return_indices_tie_break_left=True)


@triton.jit
def row_logprob(logit, raw_peak_ptr, raw_sum_ptr, row, BLOCKS: tl.constexpr, LANES: tl.constexpr):
    """Return the log-probability of an unmodified logit of a row."""
    block = tl.arange(0, LANES)
    place = row * BLOCKS + block
    peaks = tl.load(raw_peak_ptr + place, mask=block < BLOCKS, other=float("-inf"))
    sums = tl.load(raw_sum_ptr + place, mask=block < BLOCKS, other=0.0)
    peak = tl.max(peaks, 0)
    relative = tl.exp(below(peaks, peak))
    return below(logit, peak) - tl.log(tl.sum(sums * relative, 0))
