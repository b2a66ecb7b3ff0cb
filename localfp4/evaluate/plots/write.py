"""Draws evaluations into files."""

from pathlib import Path

from localfp4.documents.files import write_file
from localfp4.documents.pictures.canvas import Form, as_bytes, drawing
from localfp4.errors import EvaluationError
from localfp4.evaluate.plots.figure import evaluation_figure
from localfp4.evaluate.plots.panels import panels
from localfp4.evaluate.records import Evaluation


def write_figure(evaluation: Evaluation, path: Path, form: Form) -> Path:
    """Draw the divergence of models from their reference, and their figures beside each other.

    The same evaluation makes the same bytes with the same version of matplotlib.

    Args:
        evaluation: What to draw.
        path: The file to write.
        form: ``png`` or ``svg``.

    Raises:
        UserError: Matplotlib is missing, there is nothing to draw, or the file cannot be written.
    """
    if not panels(evaluation):
        raise EvaluationError("Nothing that was evaluated can be drawn; leave --plot out.")
    with drawing():
        picture = as_bytes(evaluation_figure(evaluation), form)
    return write_file(path, picture)
