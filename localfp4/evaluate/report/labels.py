"""What to call models beside each other."""

import re
from collections.abc import Mapping, Sequence

from localfp4.documents.markdown import one_line
from localfp4.documents.pictures.words import shortened
from localfp4.evaluate.records import Subject

_MODEL = 24
"""Characters of a model's name that have room in a table."""


def model_names(subjects: Sequence[Subject]) -> Mapping[str, str]:
    """Return what to call models in a table: as much of the ends of their names as tells them apart."""
    models = list(dict.fromkeys(subject.model for subject in subjects))
    parts = {model: re.split(r"[/\\]", model.rstrip("/\\")) for model in models}
    for count in range(1, max(map(len, parts.values()), default=1) + 1):
        names = {model: "/".join(parts[model][-count:]) for model in models}
        if len(set(names.values())) == len(models):
            break
    return {model: shortened(one_line(name), _MODEL) for model, name in names.items()}


def labels(subjects: Sequence[Subject]) -> Mapping[Subject, str]:
    """Return a label of each: its format where all are of one model, or both."""
    one_model = len({subject.model for subject in subjects}) == 1
    one_format = len({subject.format for subject in subjects}) == 1
    names = model_names(subjects)
    found = {}
    for subject in subjects:
        form, name = one_line(subject.format), names[subject.model]
        both = name if one_format else f"{name} · {form}"
        found[subject] = form if one_model else both
    return found
