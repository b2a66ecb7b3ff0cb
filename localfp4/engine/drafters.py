"""What guesses tokens ahead for a model: its own heads, a smaller model, a look-up; torch-free."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import linear_is_stored
from localfp4.config import EngineConfig
from localfp4.engine.speculation import DraftModel, Speculator
from localfp4.errors import CheckpointError, RequestError
from localfp4.models.opened import OpenedModel
from localfp4.models.spec import DecoderSpec

_OTHER_TOKENIZERS = ("tekken.json", "tokenizer.model")


@dataclass(frozen=True, slots=True)
class Drafters:
    """What is to guess tokens ahead.

    Attributes:
        look_up: Whether to search sequences for what followed the same words before.
        model: Whether the model's own heads draft, or a smaller model.
    """

    look_up: bool = False
    model: DraftModel | None = None

    def speculator(self) -> Speculator | None:
        """Return what makes use of them; ``None`` where there are none."""
        if not self.look_up and self.model is None:
            return None
        return Speculator(look_up=self.look_up, model=self.model)

    def loaded_spec(self, spec: DecoderSpec) -> DecoderSpec:
        """Return what is to be loaded of a model: heads that nobody asks would take memory."""
        return spec if self.model == "mtp" else replace(spec, mtp=())


def choose_drafters(config: EngineConfig, model: OpenedModel, *, on_gpu: bool) -> Drafters:
    """Decide what guesses tokens ahead.

    The look-up costs next to nothing, so that it also goes with a draft model. Heads run on every
    token: on a CPU, where one more row is not nearly free, they are taken only if asked for.

    Raises:
        RequestError: The heads that were asked for are not there.
    """
    if config.speculation == "draft":
        return Drafters(look_up=True, model="draft")
    if config.speculation == "mtp":
        _require_heads(config.model, model)
        return Drafters(model="mtp")
    if config.speculation == "auto" and on_gpu and has_heads(model):
        return Drafters(look_up=True, model="mtp")
    return Drafters(look_up=config.speculation != "off")


def has_heads(model: OpenedModel) -> bool:
    """Say whether a checkpoint has what predicts further tokens; many exporters leave it out."""
    return bool(model.spec.mtp) and linear_is_stored(model.checkpoint, "mtp.fc")


def check_draft(name: str, draft: OpenedModel, model: OpenedModel) -> None:
    """See that a draft model can guess for a model.

    Args:
        name: What the user calls it.
        draft: The draft model.
        model: The model that it is to guess for.

    Raises:
        RequestError: It cannot.
        CheckpointError: A tokenizer is damaged.
    """
    if any(
        layer.mixer is not None and layer.mixer.state is not None for layer in draft.spec.layers
    ):
        raise RequestError(
            f"The draft model '{name}' has recurrent layers, which cannot take a wrong guess back; "
            "use one that has attention only, or --speculate ngram."
        )
    difference = _difference(draft.checkpoint, model.checkpoint)
    if difference is None and not _same_tokenizers(draft.checkpoint, model.checkpoint):
        theirs, ours = draft.spec.vocab_size, model.spec.vocab_size
        difference = None if theirs == ours else f"{theirs} tokens instead of {ours}"
    if difference is not None:
        raise RequestError(
            f"The draft model '{name}' has another vocabulary ({difference}), so that its guesses "
            "mean nothing here; use a smaller model of the same family."
        )


def _require_heads(name: str, model: OpenedModel) -> None:
    if has_heads(model):
        return
    what = "its files leave out" if model.spec.mtp else f"models of type {model.spec.family} lack"
    raise RequestError(
        f"'{name}' cannot guess ahead by itself: {what} the heads for multi-token prediction; "
        "use --speculate ngram, which every model can, or --draft with a smaller model."
    )


def _difference(draft: Checkpoint, model: Checkpoint) -> str | None:
    """Return a token that two tokenizers have different numbers for, in words, if there is one.

    Ids that only one of them has do not matter: families add special tokens as they go.
    """
    theirs, ours = _tokens(draft.folder), _tokens(model.folder)
    for number, token in ours.items():
        other = theirs.get(number, token)
        if other != token:
            return f"token {number} is {other!r} instead of {token!r}"
    return None


def _same_tokenizers(draft: Checkpoint, model: Checkpoint) -> bool:
    """Say whether both have a ``tokenizer.json``, or the same file of another format."""
    if all((one.folder / "tokenizer.json").exists() for one in (draft, model)):
        return True
    for name in _OTHER_TOKENIZERS:
        paths = draft.folder / name, model.folder / name
        if all(path.exists() for path in paths):
            return paths[0].read_bytes() == paths[1].read_bytes()
    return False


def _tokens(folder: Path) -> dict[int, str]:
    """Return the tokens of a ``tokenizer.json`` by their numbers; none where there is no such file.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        return {}
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        vocab = described["model"]["vocab"]
        # Unigram models list pieces with their scores.
        pairs = (
            vocab.items()
            if isinstance(vocab, Mapping)
            else ((p[0], n) for n, p in enumerate(vocab))
        )
        tokens = {number: token for token, number in pairs}
        tokens.update((one["id"], one["content"]) for one in described.get("added_tokens") or ())
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): fetch it again, or a newer localfp4."
        ) from error
    return tokens
