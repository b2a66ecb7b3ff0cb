"""A model on a text, alone or against its original."""

from collections.abc import Iterator

from localfp4.evaluate.divergence import Divergence, diverge, divergence_results, predictions
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.perplexity import perplexity_of, perplexity_results
from localfp4.evaluate.records import Subject
from localfp4.evaluate.reference import ReferenceLogits
from localfp4.evaluate.scorer import Scorer
from localfp4.evaluate.windows import WindowedText, require_same_tokens


def evaluate_text(
    scorer: Scorer,
    subject: Subject,
    text: WindowedText,
    reference: ReferenceLogits | None = None,
) -> Iterator[Found]:
    """Yield progress, figures and items of a model that reads a text.

    Args:
        scorer: The model.
        subject: What to call it.
        text: What it reads, as its own tokenizer cuts it.
        reference: What the original made of the same text; ``None`` tells perplexity alone.

    Raises:
        EvaluationError: The original is another model's, or the model is broken.
    """
    if reference is None:
        yield from perplexity_of(scorer, subject, text)
        return
    require_same_tokens(subject.model, text, reference.text)
    found: list[Divergence] = []
    for logits in scorer.logits(window.ids for window in text.windows):
        window = text.windows[len(found)]
        seen = predictions(window.predictions(logits), window.targets)
        original = reference.predictions(len(found), logits.shape[1])
        found.append(diverge(original, seen))
        yield Progress(text.name, len(found), len(text.windows))
    yield from perplexity_results(subject, text, [one.nll for one in found])
    yield from divergence_results(subject, text, found)
