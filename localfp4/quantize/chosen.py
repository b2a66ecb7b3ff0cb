"""Which linears of a model are quantised; torch-free."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from localfp4.models.opened import OpenedModel
from localfp4.quantize.linears import linears, reading_the_same
from localfp4.quantize.recipe import Recipe

COLUMNS = 32
"""Columns come in multiples of this: what kernels take of NVFP4, and a block of MXFP4."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Linears by their names, such as ``model.layers.0.self_attn.q_proj``.

    Attributes:
        names: Those that are quantised.
        unfit: Those that would be, but whose columns fit no block, or those of experts beside them.
    """

    names: frozenset[str]
    unfit: tuple[str, ...]


def chosen_linears(opened: OpenedModel, recipe: Recipe) -> Chosen:
    """Choose the linears that a recipe quantises.

    What runs merged is chosen together or not at all: q, k and v, gate and up, all experts of a
    layer. Loaders such as vLLM's refuse a merged linear whose parts have different formats.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: Experts are stored in a format that is not supported.
    """
    unit = max(COLUMNS, recipe.rotation)
    found = {linear.name: linear.columns for linear in linears(opened)}
    kept = {_of_one_format(name) for name in found if is_kept(name, recipe.keep)}
    wanted = {name: columns for name, columns in found.items() if _of_one_format(name) not in kept}
    unfit = {_of_one_format(name) for name, columns in wanted.items() if columns % unit}
    return Chosen(
        frozenset(name for name in wanted if _of_one_format(name) not in unfit),
        tuple(name for name in wanted if _of_one_format(name) in unfit),
    )


def is_kept(name: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a linear, or a module that holds it, is named by one of some patterns.

    A pattern stands for a whole name or for the end of one: ``down_proj``, ``mlp.down_proj``,
    ``self_attn``, ``model.layers.0`` or ``layers.*.self_attn.v_proj``.
    """
    parts = name.split(".")
    holders = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(
        fnmatchcase(f".{holder}", f"*.{pattern}") for pattern in patterns for holder in holders
    )


def together(name: str) -> str:
    """Return what the experts of a layer have in common, and the name of any other linear."""
    layer, is_expert, _ = name.partition(".experts.")
    return f"{layer}.experts" if is_expert else name


def _of_one_format(name: str) -> str:
    """Return what linears have in common that loaders run in one format."""
    return together(reading_the_same(name))
