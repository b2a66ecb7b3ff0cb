"""How many tokens texts have for a model of a server: what it counts, or an estimate."""

from collections.abc import Iterable, Sequence

from localfp4.remote.address import Address
from localfp4.remote.asking import ask_for_json
from localfp4.remote.errors import ServerError
from localfp4.remote.models import ASKING_S

_BYTES_A_TOKEN = 4
"""Of English prose, about."""

_WAYS: tuple[dict[str, object], ...] = ({"add_special_tokens": False}, {})
"""Without the tokens that stand around every prompt, or, where a server refuses that, with them."""

_MISUNDERSTOOD = (400, 422)
_MOST_KEPT = 4096


class TokenCounter:
    """Asks ``/tokenize``, which vLLM, llama.cpp and localfp4 have; each text once.

    Attributes:
        is_exact: Whether the server counts; until it has been asked, that is taken for granted.
    """

    def __init__(self, address: Address, key: str | None) -> None:
        self.is_exact = True
        self._address = address
        self._key = key
        self._way = 0
        self._known: dict[tuple[str, str], int] = {}

    def count(self, model: str, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has.

        Raises:
            ServerError: The server cannot be reached any more.
        """
        return [self._count(model, text) for text in texts]

    def _count(self, model: str, text: str) -> int:
        known = self._known.get((model, text))
        if known is not None:
            return known
        counted = self._ask(model, text) if self.is_exact else None
        if counted is None:
            self.is_exact = False
            return estimate([text])
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[model, text] = counted
        return counted

    def _ask(self, model: str, text: str) -> int | None:
        """Return what the server counts, or ``None`` where it counts for nobody."""
        # vLLM and localfp4 read the prompt, llama.cpp the content.
        body: dict[str, object] = {"model": model, "prompt": text, "content": text}
        path = f"{self._address.above}/tokenize"
        for way in range(self._way, len(_WAYS)):
            try:
                told = ask_for_json(self._address, path, self._key, ASKING_S, body | _WAYS[way])
            except ServerError as error:
                if error.status is None:  # it is gone
                    raise
                if error.status not in _MISUNDERSTOOD:
                    return None
            else:
                self._way = way
                tokens = told.get("tokens") if isinstance(told, dict) else None
                return len(tokens) if isinstance(tokens, list) else None
        return None


def estimate(texts: Iterable[str]) -> int:
    """Return about how many tokens texts have together."""
    return sum(-(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN) for text in texts)
