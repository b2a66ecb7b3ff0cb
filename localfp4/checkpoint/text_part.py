"""The part of a checkpoint that a language model needs, under one set of names.

Exporters wrap the same decoder in several ways, and multimodal models keep it beside towers for
images and sound. Which tensors there are decides; torch-free, reads no tensor.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError

Rename = tuple[str, str]
"""A regular expression for the beginning or a part of a name, and what replaces it."""

_WRAPPERS: tuple[Rename, ...] = (
    (r"^(?:model\.)?language_model\.lm_head\.", "lm_head."),
    (r"^model\.language_model\.", "model."),
    (r"^language_model\.model\.", "model."),
)

_OTHER_SENSES = re.compile(
    r"^(?:model\.)?(visual|vision\w*|embed_vision|audio\w*|embed_audio|multi_modal_projector|"
    r"mm_projector|mlp1|patch_merger|sound\w*)\.",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TextPart:
    """What was kept of a checkpoint.

    Attributes:
        checkpoint: The same files, with the tensors of the language model under their usual
            names, such as ``model.layers.0.mlp.up_proj.weight``.
        left_out: Names of the parts for other senses, such as ``visual``; empty for text models.
    """

    checkpoint: Checkpoint
    left_out: tuple[str, ...]


def text_part(checkpoint: Checkpoint, renames: Sequence[Rename] = ()) -> TextPart:
    """Pick the language model out of a checkpoint.

    Args:
        checkpoint: As it lies on disk.
        renames: What a family calls differently, applied in order after wrappers are taken off.

    Raises:
        CheckpointError: Two tensors get the same name.
    """
    patterns = [(re.compile(old, re.ASCII), new) for old, new in (*_WRAPPERS, *renames)]
    kept: dict[str, TensorInfo] = {}
    left_out: set[str] = set()
    for name, info in checkpoint.tensors.items():
        other = _OTHER_SENSES.match(name)
        if other is not None:
            left_out.add(other[1])
            continue
        usual = _renamed(name, patterns)
        if usual in kept:
            raise CheckpointError(
                f"{shown(checkpoint.folder)} has both {shown(kept[usual].name)} and {shown(name)}, "
                "which are the same weight; download it again."
            )
        kept[usual] = info
    view = replace(checkpoint, tensors=MappingProxyType(kept))
    return TextPart(view, tuple(sorted(left_out)))


def _renamed(name: str, patterns: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in patterns:
        name = pattern.sub(new, name, count=1)
    return name
