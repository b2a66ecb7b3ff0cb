"""Goes through an evaluation with the user watching: one model after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from localfp4.cli.evaluation.series import Series
from localfp4.cli.evaluation.text import named_text
from localfp4.cli.progress import overwrite
from localfp4.errors import UserError
from localfp4.evaluate.against import evaluate_text
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.long_context import LongContext, answer_long_contexts
from localfp4.evaluate.multi_hop import TASK as MULTI_HOP
from localfp4.evaluate.multi_hop import multi_hops
from localfp4.evaluate.needle import TASK as NEEDLE
from localfp4.evaluate.needle import needles
from localfp4.evaluate.records import Evaluation, Items, Result, Subject
from localfp4.evaluate.reference import ReferenceLogits
from localfp4.evaluate.scorer import Scorer
from localfp4.evaluate.tasks import Tasks, find_tasks, run_tasks
from localfp4.evaluate.windows import WindowedText, windowed_text
from localfp4.llm.llm import LLM
from localfp4.text.sanitize import sanitize


@dataclass(frozen=True, slots=True)
class Wanted:
    """What models are evaluated on.

    Attributes:
        text: Name and text; ``None`` reads none.
        tokens: How much of it.
        window: Tokens that are read at once.
        stride: Tokens that count in windows that overlap; ``None`` where they do not.
        tasks: Of lm_eval.
        needles: Tokens of long contexts.
    """

    text: tuple[str, str] | None
    tokens: int
    window: int
    stride: int | None
    tasks: Tasks | None
    needles: tuple[int, ...]


def wanted(options: Mapping[str, Any]) -> Wanted:
    """Return what options ask for.

    Raises:
        UserError: There is no such text, or no such task.
    """
    tokens = options["tokens"]
    return Wanted(
        text=None if options["without_text"] else named_text(options["text"], tokens),
        tokens=tokens,
        window=options["window"],
        stride=options["stride"],
        tasks=_tasks(options),
        needles=options["needle"],
    )


def _tasks(options: Mapping[str, Any]) -> Tasks | None:
    names = tuple(filter(None, map(str.strip, (options["tasks"] or "").split(","))))
    if not names:
        return None
    overwrite("looking for tasks of lm_eval")
    try:
        how = ("limit", "fewshot", "chat_template", "unsafe_code")
        return find_tasks(names, options["include_path"], **{one: options[one] for one in how})
    finally:
        overwrite("")


def go(
    chosen: Wanted, models: Sequence[Series], original: Series | None
) -> tuple[Evaluation, UserError | KeyboardInterrupt | None]:
    """Evaluate the original, if there is one, and then every model.

    Returns:
        What was found, and what ended the evaluation early. Hours may have gone into what was
        found before.

    Raises:
        UserError: A model cannot be loaded or compared, or a task cannot be run; nothing was found.
    """
    run = _Run(chosen)
    early: UserError | KeyboardInterrupt | None = None
    with ExitStack() as stack:
        try:
            if original is not None:
                stack.enter_context(run.take_original(original))
            for model in models:
                run.take(model)
        except (UserError, KeyboardInterrupt) as error:
            if not run.results:
                raise
            early = error
            run.notes.append(f"The evaluation ended early: {str(error) or 'Ctrl-C'}")
        finally:
            overwrite("")
    notes = [*run.notes, *(one.note for one in models if one.note)]
    reference = None if original is None else _subject(original)
    found = Evaluation(tuple(run.results), tuple(run.items), reference, tuple(dict.fromkeys(notes)))
    return found, early


@dataclass(slots=True)
class _Run:
    """What is wanted, and what was found so far."""

    chosen: Wanted
    results: list[Result] = field(default_factory=list)
    items: list[Items] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reference: ReferenceLogits | None = None

    def take_original(self, original: Series) -> ExitStack:
        """Evaluate what the others are compared with; its answers stay until the stack is closed."""
        with ExitStack() as stack:
            with _loaded(original) as llm:
                scorer, subject = llm.scorer(), _subject(original)
                contexts = self._contexts(scorer)
                if self.chosen.text is not None:
                    text = self._windowed(scorer, *self.chosen.text)
                    self.notes.append(text.in_words())
                    self.reference = stack.enter_context(ReferenceLogits(subject, text))
                    self._collect(subject, self.reference.record(scorer))
                self._questions(scorer, subject, contexts)
            return stack.pop_all()

    def take(self, model: Series) -> None:
        """Evaluate a model."""
        with _loaded(model) as llm:
            scorer, subject = llm.scorer(), _subject(model)
            contexts = self._contexts(scorer)
            if self.chosen.text is not None:
                text = self._windowed(scorer, *self.chosen.text)
                if self.reference is None:
                    self.notes.append(text.in_words())
                self._collect(subject, evaluate_text(scorer, subject, text, self.reference))
            self._questions(scorer, subject, contexts)

    def _windowed(self, scorer: Scorer, name: str, text: str) -> WindowedText:
        chosen = self.chosen
        return windowed_text(scorer, name, text, chosen.window, chosen.tokens, chosen.stride)

    def _contexts(self, scorer: Scorer) -> Mapping[str, Sequence[LongContext]]:
        """Return the long contexts of each kind; made first, since they may not fit the model."""
        lengths = self.chosen.needles
        if not lengths:
            return {}
        return {NEEDLE: [*needles(scorer, lengths)], MULTI_HOP: [*multi_hops(scorer, lengths)]}

    def _questions(
        self, scorer: Scorer, subject: Subject, contexts: Mapping[str, Sequence[LongContext]]
    ) -> None:
        """Ask what has right and wrong answers."""
        for kind, listed in contexts.items():
            self._collect(subject, answer_long_contexts(scorer, subject, kind, listed))
        if self.chosen.tasks is not None:
            found = run_tasks(scorer, subject, self.chosen.tasks, _telling(subject))
            self.results += found.results
            self.items += found.items
            self.notes += found.notes

    def _collect(self, subject: Subject, events: Iterator[Found]) -> None:
        tell = _telling(subject)
        for event in events:
            match event:
                case Progress():
                    tell(event)
                case Result():
                    self.results.append(event)
                case Items():
                    self.items.append(event)


def _telling(subject: Subject) -> Callable[[Progress], None]:
    """Return what shows how far a model is."""

    def tell(step: Progress) -> None:
        share = f", {step.done / step.total:.0%}" if step.total else ""
        overwrite(sanitize(f"{subject.model} as {subject.format}: {step.stage}{share}"))

    return tell


def _loaded(model: Series) -> LLM:
    """Load a model."""
    overwrite(sanitize(f"loading {model.model} as {model.format}"))
    config = model.config
    return LLM(**{name: getattr(config, name) for name in signature(LLM).parameters})


def _subject(model: Series) -> Subject:
    return Subject(model.model, model.format)
