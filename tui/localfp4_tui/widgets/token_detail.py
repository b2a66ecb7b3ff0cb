"""How probable one token was, and what else could have stood in its place."""

from textual.content import Content
from textual.widgets import Static

from localfp4.text.sanitize import sanitize
from localfp4_tui.formatting import bar
from localfp4_tui.heat import HeatToken
from localfp4_tui.widgets.token_heat import SHADES

BAR_WIDTH = 16
LONGEST_TOKEN = 24
_SIGNS = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})


class TokenDetail(Static):
    """A token, what it was chosen from with bars, and what the shades mean."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, token: HeatToken, number: int, count: int, keys: str) -> None:
        """Show a token.

        Args:
            token: Which.
            number: Its place in the answer, from 0.
            count: How many tokens the answer has.
            keys: What keys do now.
        """
        lines = [_heading(token, number, count, keys)]
        lines += [_alternative(other, p, token.text) for other, p in token.alternatives]
        self.update(Content("\n").join([*lines, legend()]))


def visible(text: str) -> str:
    """Return what a token spells with signs for its blanks, shortened."""
    shown = sanitize(text).translate(_SIGNS)
    return shown if len(shown) <= LONGEST_TOKEN else f"{shown[: LONGEST_TOKEN - 1]}…"


def percent(probability: float) -> str:
    """Return a probability in percent: ``100 %``, ``43 %``, ``1.2 %``, ``<0.1 %``."""
    share = probability * 100
    if share < 0.1:
        return "<0.1 %"
    return f"{share:.1f} %" if share < 9.95 else f"{share:.0f} %"


def legend() -> Content:
    """Return what each shade means."""
    words = [f" ≥{least:.0%} ".replace("%", " %") for least, _ in SHADES[:-1]]
    words.append(f" <{SHADES[-2][0]:.0%} ".replace("%", " %"))
    shades = [Content.styled(word, style) for word, (_, style) in zip(words, SHADES, strict=True)]
    return Content.styled("shades ", "$text-muted") + Content(" ").join(shades)


def _heading(token: HeatToken, number: int, count: int, keys: str) -> Content:
    known = token.probability is not None
    how = percent(token.probability or 0.0) if known else "not recorded"
    return Content.assemble(
        (visible(token.text), "bold $text-accent"),
        f"  {how}",
        (f"  token {number + 1} of {count}  {keys}", "$text-muted"),
    )


def _alternative(text: str, probability: float, chosen: str) -> Content:
    style = "bold $text-accent" if text == chosen else ""
    return Content.assemble(
        f"{percent(probability):>7} ",
        (bar(probability, BAR_WIDTH), "$text-accent" if text == chosen else "$text-muted"),
        (f" {visible(text)}", style),
    )
