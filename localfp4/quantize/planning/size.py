"""How large a model is once it is quantised, scales included; torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass

from localfp4.checkpoint.index import open_checkpoint
from localfp4.models.opened import OpenedModel
from localfp4.quantize.mixing.units import Unit
from localfp4.quantize.planning.sites import QuantisedSites, quantised_sites
from localfp4.quantize.recipe import Recipe, WeightFormat
from localfp4.quantize.sites import Site


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Bytes of a model's tensors.

    Attributes:
        quantised: Of what the recipe quantises.
        kept: Of what stays as it is: embeddings, norms, and what the recipe keeps.
        other_senses: Of parts for images and sound, which are carried along.
        original: Of what is quantised, as it was before.
    """

    quantised: int
    kept: int
    other_senses: int
    original: int

    @property
    def total(self) -> int:
        """All that is written."""
        return self.quantised + self.kept + self.other_senses

    @property
    def total_before(self) -> int:
        """All that was there."""
        return self.original + self.kept + self.other_senses


def model_size(
    opened: OpenedModel, recipe: Recipe, formats: Mapping[str, WeightFormat | None] | None = None
) -> ModelSize:
    """Return how large a model becomes.

    Args:
        opened: The model, in 16 bits.
        recipe: How it is quantised. Under a size for mixed precision, it is taken to be used up.
        formats: Of sites, by the name of any of their linears, where they are known already;
            ``None`` is 16 bits, and what is not named gets the recipe's format.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: Experts are stored in a format that is not supported.
    """
    return size_of(opened, quantised_sites(opened, recipe), recipe, formats)


def size_of(
    opened: OpenedModel,
    sites: QuantisedSites,
    recipe: Recipe,
    formats: Mapping[str, WeightFormat | None] | None = None,
) -> ModelSize:
    """Return the same for sites that are known already."""
    named, original = formats or {}, sites.stored_bytes
    kept = opened.checkpoint.total_bytes - original
    quantised = _rotation_bytes(sites, recipe.rotation) + sum(
        Unit(site.name, (site,)).nbytes(_format_of(site, named, recipe.format)) for site in sites
    )
    if recipe.target_bytes is not None and formats is None:
        quantised = max(quantised, min(recipe.target_bytes - kept, original))
    return ModelSize(quantised, kept, _other_senses(opened), original)


def _rotation_bytes(sites: QuantisedSites, block: int) -> int:
    """Return the bytes of the matrices for both directions that lie beside each rotated linear."""
    is_exact_in_bfloat16 = block.bit_length() % 2 == 1  # entries are a power of two: 4 ** n columns
    matrix = block * block * (2 if is_exact_in_bfloat16 else 4)
    return sum(len(site.prefixes) for site in sites) * 2 * matrix


def _format_of(
    site: Site, formats: Mapping[str, WeightFormat | None], otherwise: WeightFormat
) -> WeightFormat | None:
    named = [formats[name] for name in site.prefixes if name in formats]
    return named[0] if named else otherwise


def _other_senses(opened: OpenedModel) -> int:
    if not opened.left_out:
        return 0
    whole = open_checkpoint(opened.checkpoint.folder).total_bytes
    return whole - opened.checkpoint.total_bytes
