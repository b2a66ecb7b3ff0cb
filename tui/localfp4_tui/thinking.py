"""What a model thought before it answered, as far as the screen shows it; no widgets."""

from dataclasses import dataclass
from time import monotonic


@dataclass
class Thinking:
    """The reasoning of one answer.

    Attributes:
        text: What was thought so far, sanitised.
        tokens: How many tokens that took.
        duration_s: Seconds spent on it so far.
        is_over: Whether the answer proper has begun.
    """

    text: str = ""
    tokens: int = 0
    duration_s: float = 0.0
    is_over: bool = False
    _newest_s: float | None = None

    def add(self, text: str, tokens: int) -> None:
        """Add a piece of reasoning."""
        now = monotonic()
        self.duration_s += now - (now if self._newest_s is None else self._newest_s)
        self._newest_s = now
        self.text += text
        self.tokens += tokens

    @property
    def last_line(self) -> str:
        """The newest line that is not blank."""
        return next((line for line in reversed(self.text.splitlines()) if line.strip()), "")
