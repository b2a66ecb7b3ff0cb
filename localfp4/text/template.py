"""A model's chat template: which file it stands in, and conversations to prompts.

Works on text; :class:`localfp4.text.tokenizer.Tokenizer` encodes the prompt, without adding
special tokens, since templates write them out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from jinja2 import Template
from jinja2.exceptions import TemplateError, TemplateSyntaxError

from localfp4.errors import CheckpointError, RequestError
from localfp4.text.files import read_json, read_text
from localfp4.text.sandbox import TemplateRefusal, compile_template, render_bounded
from localfp4.text.sanitize import sanitize

_DEFAULT = "default"
_FOR_TOOLS = "tool_use"
_LONGEST_REASON = 300


class ChatTemplate:
    """One or more named Jinja templates, of which ``default`` is always there."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Compile ``sources``, a template's text by its name.

        Raises:
            CheckpointError: None is named ``default``, or one is malformed.
        """
        if _DEFAULT not in sources:
            names = ", ".join(sorted(sources))
            raise CheckpointError(f"The model has chat templates ({names}), but no default one.")
        self._templates = {name: _compile(name, source) for name, source in sources.items()}

    @classmethod
    def from_folder(cls, folder: Path) -> Self | None:
        """Load the chat template of a model folder; ``None`` where there is none.

        The first place with a default template wins: ``chat_template.jinja`` with
        ``additional_chat_templates/``, ``tokenizer_config.json``, ``chat_template.json``.

        Raises:
            CheckpointError: A file is broken, or a template malformed.
        """
        sources: dict[str, str] = {}
        for read in (_from_jinja_files, _from_tokenizer_config, _from_chat_template_json):
            sources = read(folder) | sources
            if _DEFAULT in sources:
                break
        return cls(sources) if sources else None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        bos_token: str | None = None,
        eos_token: str | None = None,
        **kwargs: Any,
    ) -> str:
        """Write a conversation as the prompt that the model was trained on.

        Args:
            messages: The turns, as OpenAI's API has them, of JSON types only. Reasoning may be
                given as ``reasoning_content`` or ``thinking``; templates see both.
            tools: JSON schemas of tools; picks the template ``tool_use`` if there is one.
            documents: Texts to answer from, for templates that know of them.
            add_generation_prompt: End with the beginning of the assistant's turn.
            bos_token: Begins a text, such as ``<s>``.
            eos_token: Ends a text.
            **kwargs: What a template knows besides, such as ``enable_thinking``.

        Raises:
            RequestError: The template refuses the conversation or fails on it.
        """
        template = self._templates.get(_FOR_TOOLS if tools else _DEFAULT)
        tokens = {"bos_token": bos_token, "eos_token": eos_token}
        variables = {
            "messages": [_with_both_reasonings(message) for message in messages],
            "tools": tools,
            "documents": documents,
            "add_generation_prompt": add_generation_prompt,
            **{name: token for name, token in tokens.items() if token is not None},
            **kwargs,
        }
        try:
            return render_bounded(template or self._templates[_DEFAULT], _plain(variables))
        except RequestError:
            raise
        except TemplateRefusal as error:
            raise RequestError(
                f"The model's chat template refuses this conversation: {_reason(error)}."
            ) from error
        except Exception as error:  # expressions in templates raise anything
            raise RequestError(
                f"The model's chat template fails on this conversation: {_reason(error)}."
            ) from error


def _compile(name: str, source: str) -> Template:
    try:
        return compile_template(source)
    except TemplateSyntaxError as error:
        raise CheckpointError(
            f"The model's chat template {name!r} is malformed in line {error.lineno}: "
            f"{_reason(error)}."
        ) from error
    except Exception as error:  # such as SyntaxError for deep nesting
        raise CheckpointError(
            f"The model's chat template {name!r} cannot be compiled: {_reason(error)}."
        ) from error


def _reason(error: Exception) -> str:
    """Return the error's own words on one line, fit for a terminal."""
    words = (
        error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    )
    line = " ".join(sanitize(words or type(error).__name__).split())
    return line[:_LONGEST_REASON].rstrip(".")


def _from_jinja_files(folder: Path) -> dict[str, str]:
    paths = {path.stem: path for path in (folder / "additional_chat_templates").glob("*.jinja")}
    paths[_DEFAULT] = folder / "chat_template.jinja"
    texts = {name: read_text(path) for name, path in paths.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _from_tokenizer_config(folder: Path) -> dict[str, str]:
    return _named_templates(folder / "tokenizer_config.json")


def _from_chat_template_json(folder: Path) -> dict[str, str]:
    return _named_templates(folder / "chat_template.json")


def _named_templates(path: Path) -> dict[str, str]:
    value = read_json(path).get("chat_template")
    if value is None:
        return {}
    pairs = _named_pairs(value)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise CheckpointError(
            f"chat_template in {path} must be a string or a list of names and templates."
        )
    return dict(pairs)


def _named_pairs(value: Any) -> list[tuple[Any, Any]]:
    """Read the three spellings of ``chat_template``; that all are strings is not checked."""
    match value:
        case dict():
            return list(value.items())
        case list():
            entries = (entry if isinstance(entry, dict) else {} for entry in value)
            return [(entry.get("name"), entry.get("template")) for entry in entries]
    return [(_DEFAULT, value)]


def _with_both_reasonings(message: Mapping[str, Any]) -> dict[str, Any]:
    """Give reasoning under both names: gpt-oss reads ``thinking``, the others the longer one."""
    for name in ("reasoning_content", "thinking", "reasoning"):
        if message.get(name) is not None:
            return {"thinking": message[name], **message, "reasoning_content": message[name]}
    return dict(message)


def _plain(value: Any) -> Any:
    """Copy ``value`` out of JSON types; anything else could hand the template a method to call."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str.__str__(value)
        case Mapping():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    raise RequestError(
        f"A conversation is made of JSON types only, not of {type(value).__name__}: "
        "pass text, numbers, lists and dicts."
    )
