"""The line at the top: which model talks, in which format, on what."""

from textual.content import Content
from textual.widgets import Static

from localfp4.messages import ModelInfo
from localfp4_tui.formatting import format_count, one_line


class TitleBar(Static):
    """Name, size, format and device of the model; before it is loaded, only the name."""

    def __init__(self, model: str) -> None:
        super().__init__(markup=False)
        self._model = model

    def on_mount(self) -> None:
        """Show what is known before loading."""
        self._show(self._model)

    def show(self, info: ModelInfo) -> None:
        """Show a loaded model."""
        size = f"{info.family} {format_count(info.parameters)}"
        self._show(info.name, size, info.weight_format, info.device)

    def _show(self, model: str, *facts: str) -> None:
        details = "".join(f" · {one_line(fact)}" for fact in facts if fact)
        self.update(
            Content.assemble(
                ("localfp4", "bold $text-primary"),
                ("  ", ""),
                (one_line(model), "bold"),
                (details, "$foreground 60%"),
            ),
            layout=False,
        )
