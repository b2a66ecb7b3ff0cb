"""A model's chat template: conversations to prompts, in words.

Works on text; :class:`localfp4.text.chat.ChatEncoder` encodes the prompt. Templates are foreign
code: they are parsed here, but compiled and run in a process of their own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from localfp4.errors import CheckpointError, RequestError
from localfp4.text.conversation import Conversation
from localfp4.text.marking import MarkedText, Marking
from localfp4.text.render_process import RenderError, RenderProcess, RenderRefusal, RenderStopped
from localfp4.text.sandbox import names_in
from localfp4.text.sanitize import sanitize
from localfp4.text.seam import Seam
from localfp4.text.template_files import DEFAULT, find_templates
from localfp4.text.tokenizer import without_surrogates
from localfp4.text.tools_in_words import knows_tools

_FOR_TOOLS = "tool_use"
_LONGEST_REASON = 300
_LONGEST = 2**18
"""Characters of a template; gpt-oss's, a long one, has 17 thousand. Parsing takes one to two seconds
at this size, and is not done in the process that can be killed."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt in words, rendered twice.

    Attributes:
        plain: As templates are meant to be rendered.
        marked: The same where the template could not recognise markup in what users wrote, and
            with their characters marked.
    """

    plain: str
    marked: MarkedText


class ChatTemplate:
    """One or more named Jinja templates, of which ``default`` is always there."""

    def __init__(self, sources: Mapping[str, str], process: RenderProcess | None = None) -> None:
        """Check ``sources``, a template's text by its name.

        Args:
            sources: The templates.
            process: Renders them; by default a process of its own.

        Raises:
            CheckpointError: None is named ``default``, or one is malformed or too long.
        """
        if DEFAULT not in sources:
            names = ", ".join(sorted(sources))
            raise CheckpointError(f"The model has chat templates ({names}), but no default one.")
        self._sources = dict(sources)
        self._names = {name: _names(name, source) for name, source in sources.items()}
        self._process = process or RenderProcess()

    @classmethod
    def from_folder(cls, folder: Path) -> Self | None:
        """Load the chat template of a model folder; ``None`` where there is none.

        Raises:
            CheckpointError: A file is broken, or a template malformed.
        """
        sources = find_templates(folder)
        return cls(sources) if sources else None

    @property
    def source(self) -> str:
        """The text of all templates."""
        return "\n".join(self._sources.values())

    def reads(self, *names: str) -> bool:
        """Say whether a template reads one of some variables."""
        return any(not known.isdisjoint(names) for known in self._names.values())

    @property
    def knows_tools(self) -> bool:
        """Whether a template has words of its own for tools."""
        return any(knows_tools(source, self._names[name]) for name, source in self._sources.items())

    def spells(self, token: str) -> bool:
        """Say whether a template writes out ``token``."""
        return token in self.source

    def prepare(self) -> None:
        """Start the process that renders, which takes a tenth of a second; does not wait for it."""
        self._process.start()

    def render(
        self,
        conversation: Conversation,
        tokens: Mapping[str, str] | None = None,
        marks: Iterable[str] = (),
    ) -> Rendered:
        """Write a conversation as the prompt that the model was trained on.

        Args:
            conversation: What is said.
            tokens: The spellings of special tokens, such as ``bos_token``, by name.
            marks: Characters of which to tell whether the template wrote them.

        Raises:
            RequestError: The template refuses the conversation, fails on it or takes too much.
        """
        source, variables = self._choose(conversation)
        return self._render(source, variables, tokens or {}, marks)

    def render_unfinished(
        self,
        conversation: Conversation,
        tokens: Mapping[str, str] | None = None,
        marks: Iterable[str] = (),
    ) -> Rendered | None:
        """Write a conversation up to where its last answer breaks off.

        The arguments and errors are those of :meth:`render`; ``None`` where the template leaves
        out or changes what is to be gone on with.
        """
        source, variables = self._choose(conversation)
        seam = Seam(variables, source)
        whole = self._render(source, seam.mark(variables), tokens or {}, marks)
        marked = seam.cut(whole.marked)
        if marked is None:
            return None
        plain = seam.cut(MarkedText(whole.plain, frozenset()))
        return Rendered((plain or marked).text, marked)

    def _choose(self, conversation: Conversation) -> tuple[str, dict[str, Any]]:
        """Return the template for a conversation, and what it is rendered with."""
        name = _FOR_TOOLS if conversation.tools and _FOR_TOOLS in self._sources else DEFAULT
        source = self._sources[name]
        return source, conversation.variables(source, self._names[name])

    def _render(
        self,
        source: str,
        variables: dict[str, Any],
        tokens: Mapping[str, str],
        marks: Iterable[str],
    ) -> Rendered:
        """Render twice where what users wrote could be taken for markup."""
        marking = Marking(marks, [variables, source])
        marked = marking.mark(variables)
        if marked == variables:  # one render is enough
            [plain] = self._run(source, [variables | dict(tokens)])
            return Rendered(plain, MarkedText(plain, frozenset()))
        plain, shown = self._run(source, [v | dict(tokens) for v in (variables, marked)])
        return Rendered(plain, marking.unmark(shown))

    def _run(self, source: str, variables: list[dict[str, Any]]) -> list[str]:
        try:
            texts = self._process.render(source, variables)
        except (RenderError, RecursionError, ValueError) as error:
            _refuse(error)
        return [without_surrogates(text) for text in texts]


def _refuse(error: Exception) -> NoReturn:
    """Say why a conversation could not be rendered, in words a user can act on."""
    match error:
        case RenderRefusal():
            did = "refuses"
        case RenderStopped():
            raise RequestError(
                f"The model's chat template was stopped on this conversation: {error}. "
                "It is broken or hostile; take the model from another source."
            ) from error
        case _:
            did = "fails on"
    raise RequestError(
        f"The model's chat template {did} this conversation: {_reason(error)}."
    ) from error


def _names(name: str, source: str) -> frozenset[str]:
    if len(source) > _LONGEST:
        raise CheckpointError(
            f"The model's chat template {name!r} has {len(source)} characters, more than "
            f"{_LONGEST}; take the model from another source."
        )
    try:
        return names_in(source)
    except TemplateSyntaxError as error:
        raise CheckpointError(
            f"The model's chat template {name!r} is malformed in line {error.lineno}: "
            f"{_reason(error)}."
        ) from error
    except Exception as error:  # such as RecursionError for deep nesting
        raise CheckpointError(
            f"The model's chat template {name!r} cannot be compiled: {_reason(error)}."
        ) from error


def _reason(error: Exception) -> str:
    """Return the error's own words on one line, fit for a terminal."""
    match error:
        case TemplateError():
            words = error.message
        case RenderError():
            words = str(error)
        case _:
            words = f"{type(error).__name__}: {error}"
    line = " ".join(sanitize(words or type(error).__name__).split())
    return line[:_LONGEST_REASON].rstrip(".")
