"""How much a model thinks, as one word that people choose."""

from dataclasses import dataclass

from localfp4.errors import RequestError
from localfp4.messages import Thinks


@dataclass(frozen=True, slots=True)
class ThinkingChoice:
    """What a request says of thinking.

    Attributes:
        thinking: Whether to; ``None`` leaves it to the model.
        reasoning_effort: How much, for models that can be told.
        remark: What it means, in words.
    """

    thinking: bool | None
    reasoning_effort: str | None
    remark: str


CHOICES = {
    "auto": ThinkingChoice(None, None, "as the model is made"),
    "on": ThinkingChoice(True, None, "it thinks before it answers"),
    "off": ThinkingChoice(False, None, "it answers at once"),
    "low": ThinkingChoice(None, "low", "a little, for models that can be told"),
    "medium": ThinkingChoice(None, "medium", "some, for models that can be told"),
    "high": ThinkingChoice(None, "high", "a lot, for models that can be told"),
}


def remarks(thinks: Thinks) -> dict[str, str]:
    """Return what each word means to a model, which may not heed it."""
    meant = {word: choice.remark for word, choice in CHOICES.items()}
    if thinks == "never":
        meant |= dict.fromkeys(("on", "low", "medium", "high"), "this model does not think")
    elif thinks == "always":
        meant["off"] = "this model always thinks"
    return meant


def parse_choice(text: str) -> ThinkingChoice:
    """Read the word that was typed.

    Raises:
        RequestError: It is none of those.
    """
    choice = CHOICES.get(text.strip().lower())
    if choice is None:
        raise RequestError(f"Thinking is {', '.join(CHOICES)}; {text!r} is none of them.")
    return choice


def word_for(thinking: bool | None, reasoning_effort: str | None) -> str:
    """Return the word for what a request says."""
    if thinking is False:
        return "off"
    return reasoning_effort or ("on" if thinking else "auto")
