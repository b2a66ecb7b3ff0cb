"""What evaluations find, in the form in which reports, plots and comparisons take it; stdlib only."""

from dataclasses import dataclass

NLL = "nll"
"""Metric of the items of perplexities: the mean negative log-likelihood of a token, in nats."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated.

    Attributes:
        model: As the user called it.
        format: As what it ran, such as ``w4a16`` or ``bf16``; the names of the benchmark's formats.
    """

    model: str
    format: str


@dataclass(frozen=True, slots=True)
class Result:
    """A figure.

    Attributes:
        model: As in :class:`Subject`.
        format: As in :class:`Subject`.
        task: On what, such as the name of a text or ``hellaswag``.
        metric: Such as ``perplexity``, ``kl_divergence_mean``, ``top_1_agreement`` or ``accuracy``.
        value: The figure; shares are between 0 and 1.
        stderr: Its standard error, where it has one.
    """

    model: str
    format: str
    task: str
    metric: str
    value: float
    stderr: float | None = None

    @property
    def subject(self) -> Subject:
        """What it is a figure of."""
        return Subject(self.model, self.format)


@dataclass(frozen=True, slots=True)
class Items:
    """What single items of a task gave, for paired tests.

    Attributes:
        model: As in :class:`Result`.
        format: As in :class:`Result`.
        task: As in :class:`Result`.
        metric: As in :class:`Result`.
        ids: What the items are called; the same for every model that did the same task.
        values: One for each, such as 1 for a right answer.
        weights: How much each counts, such as its tokens; where there are none, all count alike.
    """

    model: str
    format: str
    task: str
    metric: str
    ids: tuple[str, ...]
    values: tuple[float, ...]
    weights: tuple[float, ...] = ()

    @property
    def subject(self) -> Subject:
        """What they are items of."""
        return Subject(self.model, self.format)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was found in one run.

    Attributes:
        results: Figures.
        items: Single items.
        reference: What the others were compared with, where there was one.
        notes: What a reader should know, a sentence each, such as how activations were emulated.
    """

    results: tuple[Result, ...] = ()
    items: tuple[Items, ...] = ()
    reference: Subject | None = None
    notes: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Whatever was evaluated, in its order, the reference first."""
        first = [self.reference] if self.reference is not None else []
        figures = [one.subject for one in self.results]
        return tuple(dict.fromkeys([*first, *figures, *(one.subject for one in self.items)]))

    @property
    def models(self) -> tuple[str, ...]:
        """Models that were evaluated; the reference's only where it is one of them, or alone."""
        others = [one.model for one in self.subjects if one != self.reference]
        return tuple(dict.fromkeys(others or [one.model for one in self.subjects]))
