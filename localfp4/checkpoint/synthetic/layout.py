"""Collects the headers of a synthetic checkpoint in the order in which a file would hold them."""

import math
from pathlib import Path
from typing import Any

from localfp4.checkpoint.synthetic.fills import (
    BF16_ONES,
    BF16_WEIGHTS,
    Fill,
    SyntheticTensor,
)
from localfp4.checkpoint.synthetic.forms import MODELOPT_ALGORITHMS, Form, parts
from localfp4.checkpoint.tensor_info import DTYPE_BITS


class Layout:
    """Tensors of one imagined file.

    Attributes:
        tensors: Those so far, by name.
        quantized_layers: What ModelOpt would write of each quantised module; experts of a
            mixture are told together.
    """

    def __init__(self, file: Path) -> None:
        self.tensors: dict[str, SyntheticTensor] = {}
        self.quantized_layers: dict[str, dict[str, Any]] = {}
        self._file = file
        self._end = 0

    def tensor(
        self, name: str, shape: tuple[int, ...], fill: Fill = BF16_WEIGHTS, dtype: str = "BF16"
    ) -> None:
        """Add a tensor behind the others."""
        start = self._end
        self._end += math.prod(shape) * DTYPE_BITS[dtype] // 8
        self.tensors[name] = SyntheticTensor(name, dtype, shape, start, self._end, self._file, fill)

    def norm(self, name: str, size: int, *, plus_one: bool = False) -> None:
        """Add the weight of a norm: near one, or near zero where one is added to it."""
        self.tensor(f"{name}.weight", (size,), BF16_WEIGHTS if plus_one else BF16_ONES)

    def linear(
        self, name: str, rows: int, columns: int, form: Form = "bf16", *, bias: bool = False
    ) -> None:
        """Add a linear in some form."""
        for suffix, dtype, shape, fill in parts(form, rows, columns):
            self.tensor(name + suffix, shape, fill, dtype)
        if bias:
            self.tensor(f"{name}.bias", (rows,))
        if form in MODELOPT_ALGORITHMS:
            container, is_expert, _ = name.partition(".experts.")
            module = f"{container}.experts" if is_expert else name
            self.quantized_layers[module] = MODELOPT_ALGORITHMS[form]
