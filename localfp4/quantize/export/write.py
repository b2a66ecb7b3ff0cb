"""A quantised checkpoint on the disk: streamed layer by layer, and in its place only when whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import open_checkpoint
from localfp4.errors import UserError
from localfp4.file_moves import put_in_place
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.opened import OpenedModel
from localfp4.quantize.events import Progress
from localfp4.quantize.export.checks import require_absent
from localfp4.quantize.export.configs.compressed_tensors import compressed_tensors_config
from localfp4.quantize.export.configs.contents import Contents
from localfp4.quantize.export.configs.fp_quant import fp_quant_config
from localfp4.quantize.export.configs.modelopt import modelopt_configs
from localfp4.quantize.export.entries import layer_entries
from localfp4.quantize.export.figures_of import format_of_codes
from localfp4.quantize.export.files import (
    CARD,
    CONFIG,
    MODELOPT_CONFIG,
    carry,
    quantised_config,
    write_json,
)
from localfp4.quantize.export.names import FileNames
from localfp4.quantize.export.shards import shards
from localfp4.quantize.export.weights import WeightFiles
from localfp4.quantize.recipe import Recipe, WeightFormat
from localfp4.quantize.results import LayerResult
from localfp4.quantize.sites import HEAD

FOLDER = "export"
"""What the folder of work calls the checkpoint until it is whole."""


def export(
    opened: OpenedModel,
    recipe: Recipe,
    results: Callable[[int], LayerResult],
    out: Path,
    work: Path,
    card: str,
) -> Iterator[Progress]:
    """Write a quantised checkpoint, and give it its name once all of it is there.

    What an earlier run left in ``work`` is taken as it is.

    Args:
        opened: The original.
        recipe: How it was quantised.
        results: What was decided for each layer, by its index; for their number, of what comes after
            the last.
        out: Where the checkpoint will be; nothing may be there.
        work: An existing folder on the same disk, which belongs to this original and this recipe.
        card: Text of the model card.

    Yields:
        How far it is, after each file.

    Raises:
        UserError: ``out`` has come into being, or the disk is full.
        CheckpointError: The original changed meanwhile.
    """
    require_absent(out)
    try:
        yield from _write(opened, recipe, results, work / FOLDER)
        (work / FOLDER / CARD).write_text(card, encoding="utf-8")
        out.parent.mkdir(parents=True, exist_ok=True)
        require_absent(out)
        put_in_place(work / FOLDER, out)
    except OSError as error:
        place = f" ({shown(error.filename)})" if error.filename else ""
        raise UserError(
            f"{shown(out)} cannot be finished: {shown(error.strerror or error)}{place}; what is done "
            "is kept, and the same command goes on from there."
        ) from error


def _write(
    opened: OpenedModel,
    recipe: Recipe,
    results: Callable[[int], LayerResult],
    folder: Path,
) -> Iterator[Progress]:
    folder.mkdir(exist_ok=True)
    decoder, layers = opened.checkpoint, len(opened.spec.layers)
    names = FileNames(decoder, tuple(dense_stacks(decoder, opened.spec)))
    planned = shards(open_checkpoint(decoder.folder), decoder, layers)
    files = WeightFiles(folder, len(planned))
    formats: dict[str, WeightFormat] = {}
    for number, shard in enumerate(planned):
        result = results(shard.result)
        formats |= {
            prefix: format_of_codes(one.codes)
            for one in result.sites
            for prefix in one.site.prefixes
        }
        if not files.is_written(number):
            files.write(number, layer_entries(shard.tensors, decoder, names, recipe, result))
        yield Progress("writing the checkpoint", number + 1, len(planned))
    files.finish()
    contents = Contents(
        quantised={names.module(prefix): format for prefix, format in formats.items()},
        kept=tuple(names.kept_linears(formats)),
        embeddings=tuple(names.embeddings()),
        towers=opened.left_out,
    )
    carry(decoder.folder, folder)
    _describe(opened, recipe, contents, folder, has_head=HEAD in formats)


def _describe(
    opened: OpenedModel, recipe: Recipe, contents: Contents, folder: Path, *, has_head: bool
) -> None:
    """Write the configs, by which loaders know what the files hold."""
    match recipe.export:
        case "compressed-tensors":
            described = compressed_tensors_config(contents, recipe.precision)
        case "modelopt":
            described, own = modelopt_configs(contents, recipe.precision)
            write_json(folder / MODELOPT_CONFIG, own)
        case "fp-quant":
            described = fp_quant_config(contents, recipe.rotation)
    config = quantised_config(opened.checkpoint.config, described, has_head=has_head)
    write_json(folder / CONFIG, config)
