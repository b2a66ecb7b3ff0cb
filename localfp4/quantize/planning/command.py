"""The command that a recipe is given with; stdlib only."""

import shlex

from localfp4.quantize.recipe import CalibrationSource, Recipe


def quantise_command(model: str, recipe: Recipe, *, out: str | None = None) -> str:
    """Return the command line that quantises a model so; what is usual is left out.

    Args:
        model: What the user calls it.
        recipe: How.
        out: The folder to make; ``None`` leaves it to the program.
    """
    usual, rounding = Recipe(), recipe.rounding
    options = {
        "--method": (recipe.method, usual.method),
        "--precision": (recipe.precision, usual.precision),
        "--format": (recipe.format, usual.format),
        "--scales": (rounding.scales, usual.rounding.scales),
        "--damping": (f"{rounding.damping:g}", f"{usual.rounding.damping:g}"),
        "--rotation": (str(recipe.rotation), str(_usual_rotation(recipe))),
        "--keep": (",".join(recipe.keep) or "none", ",".join(usual.keep)),
        "--distil": (recipe.distil or "", ""),
        "--export": (recipe.export, "fp-quant" if recipe.rotation else "compressed-tensors"),
        **_calibration(recipe.calibration),
    }
    words = ["localfp4", "quantize", model]
    for name, (value, default) in options.items():
        if value != default:
            words += [name, value]
    if recipe.target_bytes is not None:
        words += ["--target-size", f"{recipe.target_bytes / 1e9:g}"]
    if rounding.replay:
        words.append("--replay")
    if out is not None:
        words += ["--out", out]
    return shlex.join(words)


def _usual_rotation(recipe: Recipe) -> int:
    """Return the rotation that the program takes where nobody says: of a block of scales."""
    if not recipe.rotation:
        return 0
    return 16 if recipe.format == "nvfp4" else 32


def _calibration(source: CalibrationSource) -> dict[str, tuple[str, str]]:
    usual = CalibrationSource()
    return {
        "--calibration": (source.source or "", ""),
        "--samples": (str(source.samples), str(usual.samples)),
        "--length": (str(source.length), str(usual.length)),
        "--seed": (str(source.seed), str(usual.seed)),
    }
