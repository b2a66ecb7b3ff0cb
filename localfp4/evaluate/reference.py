"""What the original foretells, kept for models that are loaded after it is gone.

A card that holds the original rarely holds another model beside it, so the original reads all of the
text first. Its logits take 16 bits each, as llama.cpp's do, in memory or in a temporary file.
"""

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from localfp4.errors import EvaluationError
from localfp4.evaluate.divergence import Predictions, predictions
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.perplexity import perplexity_results
from localfp4.evaluate.records import Subject
from localfp4.evaluate.scorer import Scorer
from localfp4.evaluate.windows import WindowedText
from localfp4.telemetry.memory import system_memory

_RANGE = 32.0
"""Nats below the likeliest token that are told apart; 150,000 tokens there weigh less than 2e-9."""

_LOWEST = -(2**15)
"""Stands for what has no chance at all."""

_STEPS = 2**16 - 2
"""Of 0.0005 nats: they move a mean divergence by about a ten-thousandth, and one of 0 to 1e-7."""

_SHARE_OF_RAM = 0.25
_SPARE_BYTES = 2**30
"""Of a disk, which stay free."""

_ROWS = 64


class ReferenceLogits:
    """The predictions of an original for every token of a text that counts.

    Use it as a context manager, or close it: a temporary file may belong to it.

    Args:
        subject: The original.
        text: What it reads.
        folder: Where a temporary file may lie; ``None`` is the system's place for such.
        ram_bytes: Most main memory to take; ``None`` takes a quarter of what is free.
    """

    def __init__(
        self,
        subject: Subject,
        text: WindowedText,
        folder: Path | None = None,
        ram_bytes: int | None = None,
    ) -> None:
        self.subject = subject
        self.text = text
        self._folder = folder
        self._ram_bytes = ram_bytes
        self._file: tempfile.TemporaryDirectory[str] | None = None
        self._codes: torch.Tensor | None = None
        self._tops: list[torch.Tensor] = []
        self._nll: list[torch.Tensor] = []

    def record(self, scorer: Scorer) -> Iterator[Found]:
        """Let the original read the text; yield progress, its perplexity and items.

        Raises:
            EvaluationError: There is no room for its logits, or they are no numbers.
        """
        windows = self.text.windows
        row = 0
        for done, logits in enumerate(scorer.logits(window.ids for window in windows)):
            window = windows[done]
            seen = window.predictions(logits)
            codes = self._room(seen.shape[1])
            found = predictions(seen, window.targets)
            _encode(seen, codes[row : row + len(seen)])
            self._tops.append(found.top)
            self._nll.append(found.nll)
            row += len(seen)
            yield Progress(f"{self.text.name}, reference", done + 1, len(windows))
        yield from perplexity_results(self.subject, self.text, self._nll)

    def predictions(self, number: int, vocabulary: int) -> Predictions:
        """Return what was foretold in a window.

        Args:
            number: Of the window.
            vocabulary: Tokens that the model to be compared knows.

        Raises:
            EvaluationError: The original knows more or fewer.
        """
        if self._codes is None or len(self._nll) < len(self.text.windows):
            raise ValueError("record() has not run to its end")
        if self._codes.shape[1] != vocabulary:
            raise EvaluationError(
                f"{self.subject.model} foretells {self._codes.shape[1]} different tokens, and what "
                f"is compared with it {vocabulary}; compare a model with its own original."
            )
        start = sum(len(window.targets) for window in self.text.windows[:number])
        codes = self._codes[start : start + len(self._nll[number])]
        return Predictions(_decode(codes), self._tops[number], self._nll[number])

    def close(self) -> None:
        """Free memory, and remove the temporary file. May be called twice."""
        self._codes = None  # a file that is mapped cannot be removed on Windows
        if self._file is not None:
            self._file.cleanup()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _room(self, vocabulary: int) -> torch.Tensor:
        """Return int16 ``[counted, V]``, once it is known how many tokens there are."""
        if self._codes is None:
            size = self.text.counted * vocabulary
            most = self._ram_bytes
            if most is None:
                most = int(_SHARE_OF_RAM * system_memory().available_bytes)
            if 2 * size <= most:
                codes = torch.empty(size, dtype=torch.int16)
            else:
                codes = torch.from_file(
                    str(self._require_file(2 * size)), shared=True, size=size, dtype=torch.int16
                )
            self._codes = codes.view(-1, vocabulary)
        return self._codes

    def _require_file(self, size: int) -> Path:
        folder = Path(self._folder or tempfile.gettempdir())
        free = shutil.disk_usage(folder).free
        if size + _SPARE_BYTES > free:
            raise EvaluationError(
                f"The reference's logits for {self.text.counted:,} tokens take "
                f"{size / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free; read fewer tokens, "
                "or set TMPDIR to a folder with more room."
            )
        self._file = tempfile.TemporaryDirectory(
            prefix="localfp4-", dir=folder, ignore_cleanup_errors=True
        )
        return Path(self._file.name) / "logits"


def _encode(logits: torch.Tensor, codes: torch.Tensor) -> None:
    """Write the distance of each logit from the largest of its row, in steps."""
    for rows, out in zip(logits.split(_ROWS), codes.split(_ROWS), strict=True):
        below = rows.float() - rows.amax(-1, keepdim=True).float()
        steps = (below.clamp_min(-_RANGE) * (_STEPS / _RANGE)).round() - _LOWEST - 1
        out.copy_(steps.masked_fill(below == -math.inf, _LOWEST).nan_to_num(0.0))


def _decode(codes: torch.Tensor) -> torch.Tensor:
    logits = codes.float().add_(_LOWEST + 1).mul_(_RANGE / _STEPS)
    return logits.masked_fill_(codes == _LOWEST, -math.inf)
