"""The 16-bit model whose weights are the numbers that rounded ones stand for."""

from pathlib import Path

from localfp4.checkpoint.hub import find
from localfp4.checkpoint.rounded.pieces import expert_pieces
from localfp4.models.expert_stacks import dense_stacks
from localfp4.models.opened import open_model
from localfp4.quantize.rounding.rotation import rotate
from tests.models import tiny
from tests.quantize.export.by_hand import Results


def written_out(folder: Path, target: Path, made: Results) -> Path:
    """Copy a 16-bit model with the numbers that rounded weights stand for, under its own names."""
    opened = open_model(find(str(folder)))
    checkpoint = opened.checkpoint
    numbers = {
        prefix: rotate(site.codes.dequantised(), site.rotation)[start:end]
        for index in range(len(opened.spec.layers) + 1)
        for site in made(index).sites
        for prefix, start, end in site.site.parts()
    }
    tensors = tiny.stored(folder)
    for prefix, weight in numbers.items():
        if f"{prefix}.weight" in checkpoint.tensors:
            tensors[checkpoint.tensors[f"{prefix}.weight"].name].copy_(weight)
    for stack in dense_stacks(checkpoint, opened.spec):
        whole = tensors[checkpoint.tensors[stack.name].name]
        pieces = (one for one in expert_pieces(checkpoint, stack) if one.holds_weights)
        for matrix, piece in zip(whole, pieces, strict=True):
            for cut in piece.cuts:
                if cut.prefix in numbers:
                    rows = (matrix.T if piece.transposed else matrix)[cut.rows]
                    rows.copy_(numbers[cut.prefix])
    return tiny.restored(folder, target, tensors)
