"""How fast tokens come out, over the last moment."""

from collections import deque


class TokenMeter:
    """Counts tokens over a sliding window of seconds.

    Attributes:
        latest_s: When some came out last.
    """

    def __init__(self, window_s: float = 1.0) -> None:
        self._window_s = window_s
        self._counts: deque[tuple[float, int]] = deque()
        self.latest_s = 0.0

    def add(self, now_s: float, tokens: int) -> None:
        """Note that tokens came out."""
        self.latest_s = now_s
        self._counts.append((now_s, tokens))
        self._forget(now_s)

    def per_s(self, now_s: float) -> float:
        """Return tokens per second over the window, or over the time there is."""
        self._forget(now_s)
        if len(self._counts) < 2:
            return 0.0
        first_s, first_tokens = self._counts[0]
        total = sum(tokens for _, tokens in self._counts) - first_tokens
        return total / max(now_s - first_s, 1e-6)

    def _forget(self, now_s: float) -> None:
        while self._counts and now_s - self._counts[0][0] > self._window_s:
            self._counts.popleft()
