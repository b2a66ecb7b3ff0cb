"""Words of Markdown: emphasis, code and links as styled text that can do no harm."""

import re
from collections.abc import Iterable

from markdown_it.token import Token
from textual.content import Content, Span
from textual.style import Style

from localfp4.text.sanitize import sanitize

STYLES = {"em": "italic", "strong": "bold", "s": "strike"}
CODE_STYLE = "$text-warning on $warning 10%"
URL_STYLE = "$foreground 60%"
SAFE_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def is_safe_link(url: str) -> bool:
    """Say whether a link leads to where a click may lead; ``file:`` and ``data:`` do not."""
    return SAFE_LINK.match(url.strip()) is not None


def inline_content(tokens: Iterable[Token]) -> Content:
    """Return the children of an inline token as text.

    A link shows its address wherever its text is another one, and a picture is a link.
    """
    builder = _Builder()
    for token in tokens:
        builder.add(token)
    return builder.content()


class _Builder:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0
        self._spans: list[Span] = []
        self._open: list[tuple[int, str]] = []
        self._link_begins = 0

    def add(self, token: Token) -> None:
        match token.type:
            case "text":
                self._write(_SPACE.sub(" ", token.content))
            case "softbreak":
                self._write(" ")
            case "hardbreak":
                self._write("\n")
            case "code_inline":
                self._write(token.content.replace("\t", " "), CODE_STYLE)
            case "link_open":
                self._open_link(token, "href")
            case "link_close":
                self._close_link(*self._open.pop())
            case "image":
                self._open_link(token, "src")
                self._write(token.content)
                self._close_link(*self._open.pop())
            case "em_open" | "strong_open" | "s_open":
                self._open.append((self._length, STYLES[token.type.removesuffix("_open")]))
            case "em_close" | "strong_close" | "s_close":
                start, style = self._open.pop()
                self._spans.append(Span(start, self._length, style))
            case _:
                self._write(token.content)

    def content(self) -> Content:
        return Content("".join(self._texts), self._spans)

    def _write(self, text: str, style: str = "") -> None:
        text = sanitize(text)  # once more: "&#x202e;" was harmless until it was decoded
        self._texts.append(text)
        if style:
            self._spans.append(Span(self._length, self._length + len(text), style))
        self._length += len(text)

    def _open_link(self, token: Token, attribute: str) -> None:
        self._open.append((self._length, _address(token, attribute)))
        self._link_begins = len(self._texts)

    def _close_link(self, start: int, address: str) -> None:
        text = "".join(self._texts[self._link_begins :]).strip()
        if text not in (address, address.removeprefix("mailto:")):
            self._write(f" ({address})" if text else address, URL_STYLE)
        if is_safe_link(address):
            click = Style.from_meta({"@click": f"follow_link({address!r})"})
            self._spans.append(Span(start, self._length, click))


def _address(token: Token, attribute: str) -> str:
    return "".join(sanitize(str(token.attrs.get(attribute, ""))).split())
