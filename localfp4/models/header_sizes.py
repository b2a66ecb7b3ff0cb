"""The bytes of a model's weights from its headers alone; torch-free."""

import math
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import DENSE_DTYPES
from localfp4.checkpoint.parameters import parameters_in
from localfp4.checkpoint.tensor_info import DTYPE_BITS, TensorInfo
from localfp4.models.cache_bytes import ELEMENT_BYTES
from localfp4.models.kept_sizes import kept_bytes
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import mixture
from localfp4.models.weight_sizes import WeightSizes

_LAYER = re.compile(r"model\.layers\.(\d+)\.", re.ASCII)

_TABLE = "model.embed_tokens.weight"
_TABLES = (_TABLE, "model.embed_tokens_per_layer.weight")
"""Tables of which rows are looked up; a smaller stored type is kept there."""

_TOKENIZER_GROWTH = 11
"""Bytes of memory for each of its file: 44 MB of 4.3 and 133 of 13.2, at most, while one of 50,000 or
152,000 pairs of bytes is read by tokenizers 0.22."""


def expanded_sizes(
    checkpoint: Checkpoint, spec: DecoderSpec, dtype: str, *, tied: bool
) -> WeightSizes:
    """Return the sizes of weights that are expanded to the compute type, as on a CPU.

    There the rows of a tied embedding are looked up, and the output projection's copy of it is
    laid out for products.

    Args:
        checkpoint: Their headers.
        spec: The model.
        dtype: Compute type.
        tied: Whether the output projection shares the embedding's weights.
    """
    element = ELEMENT_BYTES[dtype]

    def size(name: str, info: TensorInfo) -> int:
        stored = DTYPE_BITS[info.dtype] // 8
        if name in _TABLES and info.dtype in DENSE_DTYPES:
            return math.prod(info.shape) * min(stored, element)
        return parameters_in(name, info) * element

    found = {name: size(name, info) for name, info in checkpoint.tensors.items()}
    if tied:
        found["lm_head.weight"] = spec.vocab_size * spec.hidden_size * element
    sizes = _sorted(found, spec, sum(found.get(name, 0) for name in _TABLES))
    laid_out = max((size for name, size in found.items() if name not in _TABLES), default=0)
    return replace(sizes, laid_out=laid_out, tokenizer=_tokenizer_bytes(checkpoint.folder))


def kernel_sizes(
    checkpoint: Checkpoint, spec: DecoderSpec, dtype: str, *, tied: bool
) -> WeightSizes:
    """Return the sizes of weights as kernels on a GPU keep them.

    Args:
        checkpoint: Their headers.
        spec: The model.
        dtype: Compute type.
        tied: Whether the output projection shares the embedding's weights.

    Raises:
        CheckpointError: The tensors of a module contradict each other.
        UnsupportedModelError: A module is stored in a format that is not supported.
    """
    found = kept_bytes(checkpoint, spec, ELEMENT_BYTES[dtype])
    beside = found.pop(_TABLES[1], 0)
    return replace(_sorted(found, spec, 0 if tied else found.get(_TABLE, 0)), beside=beside)


def _tokenizer_bytes(folder: Path) -> int:
    try:
        return _TOKENIZER_GROWTH * (folder / "tokenizer.json").stat().st_size
    except OSError:
        return 0


def _sorted(found: dict[str, int], spec: DecoderSpec, looked_up: int) -> WeightSizes:
    """Add sizes up by what their names belong to; heads that draft count if the spec has them."""
    layers: dict[int, int] = defaultdict(int)
    experts: dict[int, int] = defaultdict(int)
    rest = drafting = 0
    for name, size in found.items():
        layer = _LAYER.match(name)
        if layer is not None:
            index = int(layer[1])
            (experts if ".experts." in name else layers)[index] += size
        elif name.startswith("mtp."):
            drafting += size if spec.mtp else 0
        else:
            rest += size
    counts = [moe.experts for one in spec.layers if (moe := mixture(one)) is not None]
    indices = range(len(spec.layers))
    return WeightSizes(
        rest=rest,
        layers=tuple(layers[index] for index in indices),
        experts=tuple(experts[index] for index in indices),
        expert_count=max(counts, default=0),
        looked_up=looked_up,
        drafting=drafting,
    )
