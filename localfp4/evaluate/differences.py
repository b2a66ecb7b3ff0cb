"""Which of several models are tested against which, on the items that they have in common."""

from collections.abc import Iterator, Sequence

from localfp4.evaluate.paired import Difference, paired_difference
from localfp4.evaluate.records import Evaluation, Items

_ALL_PAIRS = 4
"""Models of which each is tested against each; of more, all are against the first."""


def differences(evaluation: Evaluation) -> Iterator[Difference]:
    """Yield the paired differences between the models of an evaluation, later minus earlier.

    The reference counts as the first, where it did the task.
    """
    for group in _grouped(evaluation):
        earlier = group[:1] if len(group) > _ALL_PAIRS else group
        for number, before in enumerate(earlier, 1):
            for after in group[number:]:
                if set(before.ids) & set(after.ids):
                    yield paired_difference(after, before)


def _grouped(evaluation: Evaluation) -> Iterator[Sequence[Items]]:
    """Yield what models found of the same, in the order of the models."""
    order = {subject: at for at, subject in enumerate(evaluation.subjects)}
    for task, metric in dict.fromkeys((one.task, one.metric) for one in evaluation.items):
        group = [one for one in evaluation.items if (one.task, one.metric) == (task, metric)]
        yield sorted(group, key=lambda one: order[one.subject])
