"""Who is to run next, of the sequences that wait.

Whoever has given way comes first, and background sequences come last. Among the rest the clients
are served alike, however much each one asks for: the Virtual Token Counter of Sheng et al. 2024
(arXiv:2401.00588) counts what each has been served, and the one with the least goes on.
"""

from collections import defaultdict, deque
from collections.abc import Iterator

from localfp4.engine.sequence import Sequence

PROMPT_COST = 1
ANSWER_COST = 2
"""What a token counts: those of an answer take a step each (the weights of the paper)."""

MOST_CLIENTS = 1024
"""Clients that are remembered; where there are more, those who were served least are forgotten."""


class WaitingQueue:
    """The sequences that wait, in order."""

    def __init__(self) -> None:
        self._interactive, self._background = _FairQueue(), _FairQueue()

    def __len__(self) -> int:
        return len(self._interactive) + len(self._background)

    def __iter__(self) -> Iterator[Sequence]:
        """Yield them in the order in which they are to run.

        Each may be removed and charged for before the next one is asked for, who is chosen then.
        """
        yield from self._interactive
        yield from self._background

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence behind the others of its client."""
        self._of(sequence).add(sequence)

    def give_way(self, sequence: Sequence) -> None:
        """Queue a sequence that has been running, before all others of its kind."""
        self._of(sequence).preempted.appendleft(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, if it is there."""
        self._of(sequence).remove(sequence)

    def charge(self, sequence: Sequence, cost: int) -> None:
        """Note what a sequence's client is served."""
        kind = self._background if sequence.background else self._interactive
        kind.served[sequence.client] += cost

    def _of(self, sequence: Sequence) -> "_FairQueue":
        return self._background if sequence.background else self._interactive


class _FairQueue:
    """Sequences that are all interactive, or all not.

    Attributes:
        preempted: Those that have given way, the oldest first.
        served: What each client has been served, lifted as of one that is never idle.
    """

    def __init__(self) -> None:
        self.preempted: deque[Sequence] = deque()
        self.served: defaultdict[str, int] = defaultdict(int)
        self._queues: dict[str, deque[Sequence]] = {}
        self._last = ""

    def __len__(self) -> int:
        return len(self.preempted) + sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Sequence]:
        yield from tuple(self.preempted)
        left = {client: iter(tuple(queue)) for client, queue in self._queues.items()}
        while left:
            client = min(left, key=self.served.__getitem__)
            if (sequence := next(left[client], None)) is None:
                del left[client]
            else:
                yield sequence

    def add(self, sequence: Sequence) -> None:
        client = sequence.client
        if client not in self._queues:
            self._lift(client)
            self._queues[client] = deque()
        self._queues[client].append(sequence)

    def remove(self, sequence: Sequence) -> None:
        if sequence in self.preempted:
            self.preempted.remove(sequence)
            return
        client = sequence.client
        queue = self._queues.get(client)
        if queue is not None and sequence in queue:
            queue.remove(sequence)
            if not queue:
                del self._queues[client]
                self._last = client

    def _lift(self, client: str) -> None:
        """Take from a client that comes back what it has not asked for meanwhile."""
        served = self.served
        level = min([served[one] for one in self._queues], default=served.get(self._last, 0))
        served[client] = max(served.get(client, 0), level)
        if len(served) > MOST_CLIENTS:
            idle = served.keys() - self._queues.keys() - {client, self._last}
            for one in sorted(idle, key=served.__getitem__)[: MOST_CLIENTS // 2]:
                del served[one]
