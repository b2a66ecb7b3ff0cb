"""How fast a server answers, seen from here: what stands in for an engine's snapshots."""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from localfp4.messages import Delta, Event, Started, Stats

_WINDOW_S = 1.0


class Pace:
    """Counts the tokens of all answers under way; may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._waiting: set[str] = set()
        self._writing: set[str] = set()
        self._arrived: deque[tuple[float, int]] = deque()

    def asked(self, request_id: str) -> None:
        """Note that a request was sent."""
        with self._lock:
            self._waiting.add(request_id)

    def told(self, request_id: str, event: Event) -> None:
        """Note what came of it."""
        with self._lock:
            match event:
                case Started():
                    return
                case Delta(token_ids=tokens):
                    self._waiting.discard(request_id)
                    self._writing.add(request_id)
                    now = self._clock()
                    self._forget(now)
                    self._arrived.append((now, len(tokens)))

    def ended(self, request_id: str) -> None:
        """Note that nothing more comes."""
        with self._lock:
            self._waiting.discard(request_id)
            self._writing.discard(request_id)

    def stats(self) -> Stats:
        """Return a snapshot; what only a server could tell is 0."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            tokens = sum(count for _, count in self._arrived)
            return Stats(
                phase="decode" if self._writing else "prefill" if self._waiting else "idle",
                running=len(self._writing) + len(self._waiting),
                waiting=0,
                tokens_per_s=tokens / _WINDOW_S if self._writing else 0.0,
                prefill_done=0,
                prefill_total=0,
                kv_used_tokens=0,
                kv_total_tokens=0,
                memory_used_bytes=0,
                memory_total_bytes=0,
            )

    def _forget(self, now: float) -> None:
        """Forget what arrived too long ago to count; the lock is held."""
        while self._arrived and self._arrived[0][0] < now - _WINDOW_S:
            self._arrived.popleft()
