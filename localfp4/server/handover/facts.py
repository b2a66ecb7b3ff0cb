"""What a checkpoint is, as far as another engine has to be told; torch-free, reads no weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localfp4.checkpoint.index import open_checkpoint
from localfp4.text.parsers.choose import CallStyle, parser_for, thinks
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """A checkpoint.

    Attributes:
        family: ``model_type``.
        quantisation: Its config's part on that; ``None`` where the weights have 16 or 32 bits.
        has_other_senses: Whether it also reads pictures or hears.
        calls: How it writes tool calls; ``None`` where it does not.
        thoughts: The control token before its thoughts; empty where it has none.
        always_thinks: Whether it thinks whatever it is asked.
    """

    family: str
    quantisation: Mapping[str, Any] | None = None
    has_other_senses: bool = False
    calls: CallStyle | None = None
    thoughts: str = ""
    always_thinks: bool = False


def read_facts(folder: Path) -> CheckpointFacts:
    """Read what a model's files tell.

    Raises:
        UserError: They are missing, damaged, or contradict each other.
    """
    checkpoint = open_checkpoint(folder)
    template = ChatTemplate.from_folder(folder)
    answers = parser_for(Tokenizer.from_folder(folder), template) if template is not None else None
    config = checkpoint.config
    return CheckpointFacts(
        family=str(config.get("model_type", "")),
        quantisation=checkpoint.quant_config,
        has_other_senses=any(isinstance(config.get(f"{what}_config"), dict) for what in _SENSES),
        calls=answers.calls if answers is not None else None,
        thoughts=answers.reasoning[0].opens if answers is not None and answers.reasoning else "",
        always_thinks=template is not None and thinks(template, answers) == "always",
    )


_SENSES = ("vision", "audio")
