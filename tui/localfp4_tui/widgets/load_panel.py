"""How far the model has come while it loads."""

from textual.content import Content
from textual.widgets import Static

from localfp4.text.sanitize import sanitize
from localfp4_tui.load_meter import LoadMeter

BAR_WIDTH = 40


class LoadPanel(Static):
    """Stage in words, a bar, bytes, speed and time left."""

    def __init__(self, model: str) -> None:
        super().__init__(markup=False)
        self._model = sanitize(model)
        self._meter = LoadMeter()

    def show(self, meter: LoadMeter) -> None:
        """Show the newest report."""
        self._meter = meter
        self._redraw()

    def on_resize(self) -> None:
        """Fit the bar into the new width."""
        self._redraw()

    def _redraw(self) -> None:
        stage = sanitize(self._meter.progress.stage)
        width = min(BAR_WIDTH, self.content_size.width)
        filled = round((self._meter.share or 0.0) * width)
        self.update(
            Content.assemble(
                ("Loading ", "$foreground 60%"),
                (self._model, "bold"),
                "\n",
                ("━" * filled, "$primary"),
                ("━" * (width - filled), "$foreground 20%"),
                "\n",
                stage[:1].upper() + stage[1:],
                ("".join(f" · {figure}" for figure in self._meter.figures()), "$foreground 60%"),
            )
        )
