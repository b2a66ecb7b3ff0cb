"""One file a family turns a ``config.json`` into a ``DecoderSpec``."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from localfp4.errors import UnsupportedModelError
from localfp4.models.families.config import CheckpointConfig
from localfp4.models.spec import DecoderSpec

FAMILIES = ("llama", "qwen2", "qwen3", "qwen3_moe")
"""Every ``model_type`` that runs; each names a module of this package with ``decoder_spec``."""


def decoder_spec(config: dict[str, Any]) -> DecoderSpec:
    """Turn the contents of a ``config.json`` into a spec.

    Raises:
        UnsupportedModelError: The family, or a setting that changes the arithmetic, is unknown.
        CheckpointError: A needed setting is missing or makes no sense.
    """
    checked = CheckpointConfig(config)
    family = checked.text("model_type")
    if family not in FAMILIES:
        raise UnsupportedModelError(
            f"Models of type {family!r} are not supported yet; this version runs "
            f"{', '.join(FAMILIES)}."
        )
    build: Callable[[CheckpointConfig], DecoderSpec] = import_module(
        f"localfp4.models.families.{family}"
    ).decoder_spec
    return build(checked)
