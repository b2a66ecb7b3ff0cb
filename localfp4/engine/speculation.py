"""How many tokens to guess ahead, and with what; torch-free.

A step that also checks k guesses brings ``1 + a + ... + a^k`` tokens where each is right with
probability a once those before it are (Leviathan et al. 2023, arXiv:2211.17192), and takes longer.
Both are measured as the engine runs, and k is what brings most tokens a second: 0 where guessing
does not pay. The tokens themselves never depend on it, since the model draws every one of them.

Drafts are chains. Of a tree (SpecInfer, arXiv:2305.09781; Medusa, arXiv:2401.10774) the model
accepts somewhat more, for several times the rows to check in a step; with one user those are not
free where weights are dequantised row by row, and recurrent layers would need a state a branch.
"""

from dataclasses import dataclass, field
from typing import Literal

from localfp4.engine.acceptance import Acceptance, Acceptances, expected_tokens
from localfp4.engine.ngram import NgramIndex
from localfp4.engine.sequence import Sequence
from localfp4.engine.step_costs import StepCosts
from localfp4.engine.trials import Trials

DraftModel = Literal["mtp", "draft"]

_MATCHES = ("", "", "match of 2", "match of 4", "match of 8", "match of 16")

MOST_DRAFTS = 8
"""Most guesses for one sequence in one step."""

_FIRST_GUESSES = {
    "mtp": 0.7,
    "draft": 0.6,
    "match of 2": 0.4,
    "match of 4": 0.6,
    "match of 8": 0.8,
    "match of 16": 0.9,
}
"""How often each source is thought to be right before anything has been checked.

Matches are told apart by how many tokens they have in common with the end of the sequence.
"""

_MOST_MADE = 4
"""Most drafts that a model makes for a sequence: a chain of its own guesses soon goes astray."""

_MOST_LOOKED_UP = 16
"""Sequences that are searched. With more the tokens of a step keep a device busy without guesses, and
looking all of them up took 1.2 ms a step at 64."""

_WORTH = 1.02
"""What drafts must at least promise, as a multiple of the speed without: times are never exact."""

_LONGEST_RUN = 512
"""Steps with drafts of a model after which it is measured again how long they take without."""


@dataclass(slots=True)
class _Step:
    """What is planned for a step so far.

    Attributes:
        decoding: Sequences that decode.
        rows: Of these, and drafts.
        tokens: That it is expected to bring.
        comparable: Whether it is known how long a step of these sequences takes without drafts.
        checked: Most drafts of a sequence that it checks.
        chain: Drafts for each sequence that a model shall make in it, once that is decided.
        made: Most that it makes for one.
        asked: How often drafts of each sequence are right for which a model may make some.
        pays: Whether drafts are expected to be worth their time.
    """

    decoding: int = 1
    rows: int = 1
    tokens: float = 1.0
    comparable: bool = False
    checked: int = 0
    chain: int | None = None
    made: int = 0
    asked: list[Acceptances] = field(default_factory=list)
    pays: bool = False

    def add(self, drafts: int, rate: float) -> None:
        self.rows += drafts
        self.tokens += expected_tokens(rate, drafts)
        self.checked = max(self.checked, drafts)


@dataclass(slots=True)
class _Guesses:
    """What is known of one sequence.

    Attributes:
        rates: How often drafts were right.
        index: Where its tokens have been before.
        source: Of the drafts that are being checked.
        expected: What the look-up would have guessed where nothing was drafted from it: the source,
            the token and its place.
        wanted: Drafts that the model makes in the step that is being planned.
    """

    rates: Acceptances
    index: NgramIndex = field(default_factory=NgramIndex)
    source: str = ""
    expected: tuple[str, int, int] | None = None
    wanted: int = 0


class Speculator:
    """Proposes drafts for sequences, and learns from what becomes of them.

    For each step the engine calls :meth:`begin`, then :meth:`propose` and :meth:`wanted` for every
    sequence that decodes, and afterwards :meth:`observe` for each and :meth:`measure`.

    Attributes:
        drafted: Guesses that have been checked.
        accepted: Those of them that were right.
    """

    def __init__(
        self, *, look_up: bool, model: DraftModel | None = None, max_drafts: int = MOST_DRAFTS
    ) -> None:
        """Begin without experience.

        Args:
            look_up: Whether to search sequences for what followed the same words before.
            model: What drafts on the device, if anything does.
            max_drafts: Most guesses for one sequence in one step.
        """
        self._look_up = look_up
        self._model = model
        self._max_drafts = max_drafts
        self._averages = {name: Acceptance(rate) for name, rate in _FIRST_GUESSES.items()}
        self._guesses: dict[str, _Guesses] = {}
        # A model that drafts takes its own time of a step.
        self._plain_costs, self._drafting_costs = StepCosts(), StepCosts()
        self._step = _Step()
        self._usual_rate = _FIRST_GUESSES[model] if model else 0.0
        self._longest_measured = 0
        self._trials = Trials()
        self._busy = 0
        self.drafted = 0
        self.accepted = 0

    def begin(self, decoding: int) -> None:
        """Begin to plan a step in which so many sequences decode."""
        if self._busy >= _LONGEST_RUN:
            self._plain_costs.forget(decoding)
            self._busy = 0
        comparable = self._plain_costs.knows(decoding)
        if self._model is not None and self._step.asked:
            rates = [one.rate(self._model) for one in self._step.asked]
            self._usual_rate = sum(rates) / len(rates)
        self._step = _Step(decoding, decoding, tokens=decoding, comparable=comparable)

    def waits(self, sequence: Sequence) -> bool:
        """Say whether a sequence may get drafts once its newest token is known.

        It is asked while that is still being computed: launching the next step without waiting
        for it hides the host's time, and gives the drafts up.
        """
        state = self._of(sequence)
        return state.wanted > 0 or self._matching(state, sequence, self._max_drafts) > 0

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        """Return guesses for the tokens after the newest, at most ``room``."""
        state = self._of(sequence)
        room = max(min(room, self._max_drafts), 0)
        drafts = sequence.possible(sequence.proposed[: min(room, state.wanted)])
        source: str = self._model or ""
        rate = state.rates.rate(source) if drafts else 0.0
        count = self._matching(state, sequence, room)
        if count:
            match = _source(state.index)
            likely = state.rates.rate(match)
            copied = sequence.possible(state.index.continuation(sequence.tokens, count))
            if expected_tokens(likely, len(copied)) > expected_tokens(rate, len(drafts)):
                drafts, source, rate, state.expected = copied, match, likely, None
        state.source = source
        self._step.add(len(drafts), rate)
        return drafts

    def wanted(self, sequence: Sequence) -> int:
        """Return how many drafts a model shall make in this step, to be checked in the next."""
        if self._model is None:
            return 0
        state = self._of(sequence)
        rate, step = state.rates.rate(self._model), self._step
        step.asked.append(state.rates)
        if step.chain is None:
            count, most = step.decoding, min(_MOST_MADE, self._max_drafts)
            best = self._best(self._usual_rate, most, count, count, making=True, alike=count)
            step.chain = self._noted(best, most)
        state.wanted = step.chain
        # Not for this one what is less likely than the first draft that is not worth it for all.
        while state.wanted > 1 and rate**state.wanted < self._usual_rate ** (step.chain + 1):
            state.wanted -= 1
        step.made = max(step.made, state.wanted)
        return state.wanted

    def observe(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        """Learn that of ``drafted`` guesses for a sequence the first ``accepted`` were right."""
        if drafted:
            self.drafted += drafted
            self.accepted += accepted
            state = self._of(sequence)
            state.rates.add(state.source, accepted, int(accepted < drafted))

    def measure(self, rows: int, seconds: float) -> None:
        """Learn how long the step took that was begun last, if it did nothing but decode.

        Args:
            rows: Of the step, drafts included.
            seconds: From the end of the step before it, or from its launch where none ran.
        """
        step = self._step
        if self._trials.count(pays=step.pays, tried=step.checked > 0 or step.made > 0):
            for state in self._guesses.values():
                state.rates.fade(self._model or "")
        if self._model is not None and step.made and not step.checked:
            return  # such a step makes drafts and has none to check: the next one will be usual
        self._busy = self._busy + 1 if step.made else 0
        (self._drafting_costs if step.made else self._plain_costs).add(rows, seconds)
        self._longest_measured = max(self._longest_measured, step.checked)

    def forget(self, sequence: Sequence) -> None:
        """Drop what is known of a sequence that has ended."""
        self._guesses.pop(sequence.id, None)

    def _of(self, sequence: Sequence) -> _Guesses:
        state = self._guesses.get(sequence.id)
        if state is None:
            state = self._guesses[sequence.id] = _Guesses(Acceptances(self._averages))
        return state

    def _matching(self, state: _Guesses, sequence: Sequence, room: int) -> int:
        """Look the sequence's end up, and return how many tokens to copy from there."""
        if not self._look_up or self._step.decoding > _MOST_LOOKED_UP:
            return 0
        tokens, index = sequence.tokens, state.index
        if index.extend(tokens):
            if state.expected is not None:
                source, token, place = state.expected
                right = tokens[place] == token
                state.rates.add(source, int(right), int(not right))
            state.expected = None
            if index.length:
                [token] = index.continuation(tokens, 1)
                state.expected = (_source(index), token, len(tokens))
        if not index.length:
            return 0
        rate, step = state.rates.rate(_source(index)), self._step
        count = self._best(rate, room, step.rows, step.tokens, making=state.wanted > 0)
        return count if self._model is not None else self._noted(count, room)

    def _best(
        self, rate: float, room: int, rows: int, tokens: float, *, making: bool, alike: int = 1
    ) -> int:
        """Return the number of drafts with which a step brings most tokens a second.

        Args:
            rate: How often a draft is right.
            room: Most drafts.
            rows: Of the step without them.
            tokens: That it would bring.
            making: Whether a model makes drafts in it.
            alike: Sequences that get as many.
        """
        if not self._step.comparable:
            return 0
        best, best_speed = 0, tokens / self._plain_costs.at(rows) * _WORTH
        likely = 1.0
        # How much longer a step takes is not known far beyond what has been measured.
        for drafts in range(1, min(room, 2 * self._longest_measured + 1) + 1):
            likely *= rate
            tokens += alike * likely
            speed = tokens / self._seconds(rows + alike * drafts, making=making)
            if speed > best_speed:
                best, best_speed = drafts, speed
        return best

    def _seconds(self, rows: int, *, making: bool) -> float:
        """Return the expected time of a step that checks drafts, and may make some."""
        if making and self._drafting_costs:
            return self._drafting_costs.at(rows)
        return self._plain_costs.at(rows)

    def _noted(self, drafts: int, room: int) -> int:
        """Note whether drafts pay; one may be tried where they do not."""
        self._step.pays |= drafts > 0
        return drafts or int(self._trials.is_on and room > 0)


def _source(index: NgramIndex) -> str:
    """Name the kind of match that an index has found."""
    return _MATCHES[min(index.length, 16).bit_length()]
