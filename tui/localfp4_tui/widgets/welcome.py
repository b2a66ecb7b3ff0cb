"""What an empty chat shows: what was loaded."""

from textual.content import Content
from textual.widgets import Static

from localfp4.messages import ModelInfo
from localfp4.text.sanitize import sanitize
from localfp4_tui.formatting import format_bytes, format_count, format_seconds


class Welcome(Static):
    """A few lines about the loaded model."""

    def __init__(self, info: ModelInfo) -> None:
        size = f"{format_count(info.parameters)} parameters"
        weights = f"{info.weight_format}, {format_bytes(info.weight_bytes)}"
        context = f"{format_count(info.max_model_len)} tokens of context"
        facts = " · ".join(sanitize(fact) for fact in (size, weights, context))
        super().__init__(
            Content.assemble(
                (sanitize(info.name), "bold"),
                (f" is ready, loaded in {format_seconds(info.load_s)}\n", ""),
                (facts, "$foreground 60%"),
            ),
            markup=False,
        )
