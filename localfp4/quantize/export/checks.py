"""What would spoil a run after hours, looked at before it begins."""

import os
import shutil
from pathlib import Path

from localfp4.checkpoint.describe import quantised_formats
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.rounded.checkpoint import already_quantised
from localfp4.checkpoint.synthetic.model import SyntheticCheckpoint
from localfp4.errors import UnsupportedModelError, UserError
from localfp4.models.opened import OpenedModel
from localfp4.quantize.decimal_bytes import in_decimal
from localfp4.quantize.recipe import Recipe


def require_sixteen_bits(opened: OpenedModel, name: str) -> None:
    """Refuse a model that is quantised already.

    Args:
        opened: The model.
        name: What the user called it.

    Raises:
        UnsupportedModelError: It is.
    """
    stored = quantised_formats(opened.checkpoint)
    if stored:
        raise UnsupportedModelError(already_quantised(name, stored))


def require_weights(opened: OpenedModel, name: str) -> None:
    """Refuse a model of shapes alone.

    Args:
        opened: The model.
        name: What the user called it.

    Raises:
        UnsupportedModelError: It is one.
    """
    if isinstance(opened.checkpoint, SyntheticCheckpoint):
        raise UnsupportedModelError(
            f"{shown(name)} has shapes but no weights, so there is nothing to quantise; name a "
            "folder or a model of the hub."
        )


def require_layout(recipe: Recipe) -> None:
    """Refuse a recipe that the chosen layout cannot express.

    Raises:
        UserError: It cannot say what inputs go through, or are rounded to, or mix formats.
    """
    if recipe.rotation and recipe.export != "fp-quant":
        raise UserError(
            f"Rotated weights of mr-gptq need inputs that are rotated, too, which {recipe.export} "
            "files cannot say; take --export fp-quant, or a method that does not rotate, such as gptq."
        )
    if recipe.export == "fp-quant" and not recipe.rotation:
        raise UserError(
            "FP-Quant files hold rotated weights; take --method mr-gptq with them, or --export "
            "compressed-tensors."
        )
    if recipe.export == "fp-quant" and recipe.target_bytes is not None:
        raise UserError(
            "FP-Quant files hold one format of weights; --target-size mixes several, so take "
            "--export compressed-tensors."
        )
    if recipe.export == "modelopt" and recipe.target_bytes is not None:
        raise UserError(
            "ModelOpt mixes formats with one scale for a whole FP8 matrix, and those made here have "
            "one for each row; take --export compressed-tensors with --target-size."
        )
    if recipe.export == "modelopt" and recipe.format == "nvfp4" and recipe.precision == "w4a8":
        raise UserError(
            "ModelOpt's NVFP4 weights for 8-bit inputs have blocks of 32, and those made here have "
            "16; take --export compressed-tensors, or --precision w4a16 or w4a4."
        )
    if recipe.export == "modelopt" and recipe.format == "mxfp4" and recipe.precision == "w4a4":
        raise UserError(
            "ModelOpt's MXFP4 files do not say that inputs have 4 bits; take --export "
            "compressed-tensors, or --precision w4a16 or w4a8."
        )


def require_absent(out: Path) -> None:
    """Refuse to write over what is there, or where nothing can be written.

    Raises:
        UserError: ``out`` exists, or no folder can be made there.
    """
    if os.path.lexists(out):
        raise UserError(
            f"{shown(out)} exists already; name another folder with --out, or remove it first. "
            "Nothing was changed."
        )
    holder = _existing(out)
    if not holder.is_dir() or not os.access(holder, os.W_OK | os.X_OK):
        raise UserError(
            f"{shown(out)} cannot be made: {shown(holder)} is no folder that can be written to; "
            "name another place with --out."
        )


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        folder: Where files will be written; it need not exist.
        needed: Bytes that are still to be written.

    Raises:
        UserError: There are fewer.
    """
    holder = _existing(folder)
    free = shutil.disk_usage(holder).free
    if needed > free:
        raise UserError(
            f"{shown(folder)} needs {in_decimal(needed)}, but {shown(holder)} has "
            f"{in_decimal(free)} free; make room, or name another disk with --out."
        )


def _existing(path: Path) -> Path:
    """Return the nearest that exists of a path and the folders that would hold it."""
    absolute = path.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.exists())
