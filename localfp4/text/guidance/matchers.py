"""Grammars to matchers, each compiled once; bounded in time and in what they may take."""

import threading
from collections import OrderedDict
from collections.abc import Collection

import llguidance
import numpy as np

from localfp4.errors import RequestError

_KEPT = 16
"""Compiled grammars that are kept: clients ask for the same one again and again."""

_LONGEST_S = 20.0
_LONGEST_ERROR = 300
_STACK_BYTES = 64 * 2**20

_LIMITS = llguidance.LLParserLimits(
    max_items_in_row=5_000,  # 2,000 allow for no more than 400 optional properties, these for 1,000
    max_lexer_states=50_000,  # of up to 2 kB each
    verbose_errors=False,
)


class Matchers:
    """The matchers of one vocabulary."""

    def __init__(
        self, vocabulary: llguidance.LLTokenizer, *, longest_s: float = _LONGEST_S
    ) -> None:
        """Begin without any.

        Args:
            vocabulary: Which.
            longest_s: Seconds that a grammar may take to compile.
        """
        self._vocabulary = vocabulary
        self._longest_s = longest_s
        self._compiled: OrderedDict[str, llguidance.LLMatcher] = OrderedDict()
        self._overdue: threading.Thread | None = None

    def matcher(self, source: str) -> llguidance.LLMatcher:
        """Return a matcher at the beginning of a text; not to be called by two threads at once.

        Raises:
            RequestError: The grammar is malformed, too large, or nothing follows it; or one before
                it is still being compiled, which nothing can stop.
        """
        compiled = self._compiled.get(source)
        if compiled is None:
            compiled = self._compile(source)
            _check(compiled, set(self._vocabulary.eos_tokens))
        self._compiled[source] = compiled
        self._compiled.move_to_end(source)
        if len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return compiled.deep_copy()

    def _compile(self, source: str) -> llguidance.LLMatcher:
        """Compile in a thread of its own, whose stack holds whatever the limits let through."""
        if self._overdue is not None and self._overdue.is_alive():
            raise RequestError(
                "The form of an earlier answer is still being compiled, which has taken too long; "
                "try again later."
            )
        made: list[llguidance.LLMatcher] = []

        def compile_it() -> None:
            made.append(llguidance.LLMatcher(self._vocabulary, source, log_level=0, limits=_LIMITS))

        before = threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=compile_it, name="grammar", daemon=True)
            thread.start()
        finally:
            threading.stack_size(before)
        thread.join(self._longest_s)
        if not made:
            self._overdue = thread
            raise RequestError(
                f"The form of the answer takes longer than {self._longest_s:g} s to compile: use a "
                "smaller schema, expression or grammar."
            )
        return made[0]


def _check(matcher: llguidance.LLMatcher, ends: Collection[int]) -> None:
    """Refuse what did not compile, or cannot begin."""
    if not matcher.is_error():
        first = np.frombuffer(matcher.compute_bitmask(), np.uint8)
    error = matcher.get_error()
    if error.startswith("NoExtension"):
        raise RequestError("Nothing follows the form that the answer shall have.")
    if error:
        raise RequestError(f"The form of the answer cannot be enforced: {_in_short(error)}.")
    may_come = np.flatnonzero(np.unpackbits(first, bitorder="little")).tolist()
    _check_way_back(matcher, next((token for token in may_come if token not in ends), None))


def _check_way_back(matcher: llguidance.LLMatcher, token: int | None) -> None:
    """Refuse what a matcher cannot take back a token of, as guesses at tokens need it to."""
    tried = matcher.deep_copy()
    if token is None or (tried.consume_token(token) and tried.rollback(1)):
        return
    if not tried.get_error().startswith("rollback not supported"):
        raise RequestError(
            "The form of the answer leaves too much open at once: use a schema with fewer "
            "alternatives or optional properties, or a simpler grammar."
        )
    raise RequestError("max_tokens and stop in a grammar cannot be enforced; leave them out.")


def _in_short(error: str) -> str:
    """Return the first line of an error, and what is wrong with an expression that it shows."""
    first, *rest = (line.strip() for line in error.splitlines())
    reason = next((line for line in rest if line.startswith("error: ")), "")
    whole = f"{first} {reason.removeprefix('error: ')}" if reason else first
    return whole[-_LONGEST_ERROR:].rstrip(".: ")
