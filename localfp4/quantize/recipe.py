"""How a model is quantised: what was chosen, before anything is read; stdlib only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Solver = Literal["rtn", "gptq"]
ChannelScales = Literal["none", "awq", "smoothquant"]
WeightFormat = Literal["nvfp4", "mxfp4", "fp8"]
ScaleRule = Literal["absmax", "four-over-six", "sweep"]
Precision = Literal["w4a16", "w4a8", "w4a4"]
Export = Literal["compressed-tensors", "modelopt", "fp-quant"]

EXPORTS: tuple[Export, ...] = ("compressed-tensors", "modelopt", "fp-quant")
SCALE_RULES: tuple[ScaleRule, ...] = ("absmax", "four-over-six", "sweep")


@dataclass(frozen=True, slots=True)
class Method:
    """What a name on the command line stands for.

    Attributes:
        help: What it does, in a few words.
        solver: How codes are chosen.
        channel_scales: What moves from the columns of weights into what comes before.
        rotates: Whether inputs and weights are rotated by blocks.
    """

    help: str
    solver: Solver
    channel_scales: ChannelScales = "none"
    rotates: bool = False

    @property
    def is_calibrated(self) -> bool:
        """Whether it looks at inputs, whatever their width."""
        return self.solver == "gptq" or self.channel_scales != "none"


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "rtn": Method("round to nearest, with the best scale of each block", "rtn"),
        "gptq": Method("make up for each column's error in the columns after it", "gptq"),
        "mr-gptq": Method(
            "gptq on inputs and weights that are rotated by blocks", "gptq", rotates=True
        ),
        "awq": Method("scale up the channels that inputs use most", "rtn", "awq"),
        "smoothquant": Method("move outliers of inputs into weights", "rtn", "smoothquant"),
    }
)


@dataclass(frozen=True, slots=True)
class Rounding:
    """How the codes of a matrix are chosen.

    Attributes:
        solver: Round to nearest, or GPTQ (arXiv:2210.17323).
        scales: ``absmax`` is the exporter's own rule, bit for bit; ``four-over-six``
            (arXiv:2512.02010) lets the largest weight of a block become 6 or 4; ``sweep`` takes the
            scale with the least (weighted) squared error of all near it.
        damping: Share of the mean diagonal that is added to a Hessian's.
        replay: Whether blocks are rounded again after GPTQ, with every candidate for their scales,
            the errors of all others known; it takes several times as long.
        divides: Whether global scales are stored as divisors, which decides their last bits.
    """

    solver: Solver = "gptq"
    scales: ScaleRule = "sweep"
    damping: float = 0.01
    replay: bool = False
    divides: bool = True


@dataclass(frozen=True, slots=True)
class CalibrationSource:
    """Where calibration text comes from.

    Attributes:
        source: A file (.txt, .md, .jsonl), ``hub:org/dataset[/file][@revision]``, or ``None`` for
            the text that comes with the program.
        samples: Windows of tokens.
        length: Tokens of a window; a model with a shorter context takes that.
        seed: Of the choice of windows.
    """

    source: str | None = None
    samples: int = 128
    length: int = 2048
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the bytes of a quantised model, beside the model itself.

    Attributes:
        method: Of :data:`METHODS`.
        precision: Width of weights and of the activations that they are made for.
        format: Of the 4-bit weights, ``nvfp4`` or ``mxfp4``.
        rounding: How codes are chosen.
        rotation: Features that are rotated together; 0 rotates none.
        keep: What stays in 16 bits: names of modules or patterns with ``*``, matched against whole
            names and against the ends of names. What runs merged with it stays, too: q, k and v,
            gate and up, all experts of a layer.
        target_bytes: Size of the weights that mixed precision must not pass; ``None`` puts every
            linear into ``format``.
        distil: Weights that are trained afterwards against the original: ``scales`` (block scales
            and norms), ``all``, or ``None``.
        export: Whose layout is written.
        calibration: Where inputs come from.
    """

    method: str = "gptq"
    precision: Precision = "w4a16"
    format: WeightFormat = "nvfp4"
    rounding: Rounding = Rounding()
    rotation: int = 0
    keep: tuple[str, ...] = ("lm_head",)
    target_bytes: int | None = None
    distil: Literal["scales", "all"] | None = None
    export: Export = "compressed-tensors"
    calibration: CalibrationSource = CalibrationSource()

    @property
    def channel_scales(self) -> ChannelScales:
        """What moves from weights into what comes before."""
        return METHODS[self.method].channel_scales

    @property
    def needs_calibration(self) -> bool:
        """Whether inputs must be seen: for the method, or for the static scale of 4-bit inputs."""
        static = self.precision == "w4a4" and self.format == "nvfp4"
        others = self.distil is not None or self.target_bytes is not None
        return METHODS[self.method].is_calibrated or static or others
