"""The model card: what a quantised model is, how it was made, how good it became, how to load it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from localfp4 import __version__
from localfp4.checkpoint.display import shown
from localfp4.quantize.decimal_bytes import in_decimal
from localfp4.quantize.export.figures import (
    KindFigures,
    SiteFigure,
    figures_by_kind,
    meaning_of_errors,
)
from localfp4.quantize.planning.command import quantise_command
from localfp4.quantize.recipe import METHODS, Export, Precision, Recipe, WeightFormat
from localfp4.quantize.sites import HEAD

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

_FORMATS: Mapping[WeightFormat, str] = MappingProxyType(
    {
        "nvfp4": "NVFP4: 4-bit codes (E2M1), a scale of E4M3 for 16 weights, one of float32 for all",
        "mxfp4": "MXFP4: 4-bit codes (E2M1), a power of two for 32 weights",
        "fp8": "FP8: E4M3, a scale of float32 for each row",
    }
)
_INPUTS: Mapping[Precision, str] = MappingProxyType(
    {"w4a16": "16 bits", "w4a8": "FP8, scaled token by token", "w4a4": "4 bits"}
)
_LAYOUTS: Mapping[Export, str] = MappingProxyType(
    {
        "compressed-tensors": "compressed-tensors",
        "modelopt": "NVIDIA ModelOpt",
        "fp-quant": "FP-Quant",
    }
)
_ONE_DISTILLED: Mapping[str, str] = MappingProxyType(
    {"scales": "scales of blocks and norms", "all": "all weights"}
)
_READ_ELSEWHERE = ("w4a16", "w4a4")
_LAYOUTS_OF_VLLM: Mapping[bool, tuple[Export, ...]] = MappingProxyType(
    {False: ("compressed-tensors", "modelopt"), True: ("compressed-tensors",)}
)
"""By whether the output projection is quantised: ModelOpt's are vllm-project/vllm #35660, still open."""

_EXPERTS_IN_TRANSFORMERS = (
    "transformers up to 5.23 at least reads experts in NVFP4 without their global scales, whoever "
    "wrote them, and answers nonsense "
    "([#48371](https://github.com/huggingface/transformers/issues/48371)); localfp4 and vLLM read "
    "them."
)
_SIXTEEN_BITS_OF_FP_QUANT = (
    "FP-Quant's own programs always round inputs to 4 bits; this file leaves out the scales that "
    "they need for it, since it was made for wider inputs."
)
_HEAD_ELSEWHERE = (
    "The output projection has 4 bits, too: vLLM reads that since "
    "[#37291](https://github.com/vllm-project/vllm/pull/37291)."
)
_FEW_READ_IT = (
    "The layout is a public one, but few programs beside localfp4 run this combination of weights "
    "and inputs."
)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card tells.

    Attributes:
        original: What was quantised, as the user called it.
        folder: Name of the folder that the card lies in.
        recipe: How it was quantised.
        figures: How the sites turned out.
        bytes_before: Size of the original's tensors.
        bytes_after: Size of the new ones.
        notes: Sentences that a user should read.
    """

    original: str
    folder: str
    recipe: Recipe
    figures: tuple[SiteFigure, ...]
    bytes_before: int
    bytes_after: int
    notes: tuple[str, ...] = ()

    @property
    def formats(self) -> tuple[WeightFormat, ...]:
        """Formats of the weights, that of most weights first."""
        sizes: dict[WeightFormat, int] = {}
        for one in self.figures:
            sizes[one.format] = sizes.get(one.format, 0) + one.site.weights
        return tuple(sorted(sizes, key=lambda format: -sizes[format]))

    @property
    def has_experts(self) -> bool:
        """Whether experts of a mixture were quantised."""
        return any(one.site.expert is not None for one in self.figures)

    @property
    def has_head(self) -> bool:
        """Whether the output projection was quantised."""
        return any(one.site.name == HEAD for one in self.figures)

    @property
    def name(self) -> str:
        """Name of the original; of a folder only the last part, which tells nothing of the disk."""
        if self.is_on_hub:
            return self.original
        return shown(self.original.replace("\\", "/").rstrip("/").rpartition("/")[2])

    @property
    def is_on_hub(self) -> bool:
        """Whether the original was called by its id on the hub."""
        return _HUB_ID.fullmatch(self.original) is not None

    @property
    def title(self) -> str:
        """The name without whose it is, and what became of it."""
        formats = " and ".join(format.upper() for format in self.formats)
        return f"{self.name.rpartition('/')[2]}, {formats} {self.recipe.precision.upper()}"


def model_card(facts: CardFacts) -> str:
    """Return the text of a ``README.md``, with the front matter that the hub reads."""
    sections = [
        _front_matter(facts),
        [f"# {facts.title}", "", _first_sentence(facts)],
        ["```", quantise_command(facts.name, _published(facts.recipe)), "```"],
        _table(_recipe_rows(facts), ("", "")),
        _errors(facts),
        _notes(facts),
        _loading(facts),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _front_matter(facts: CardFacts) -> list[str]:
    lines = ["---", "pipeline_tag: text-generation"]
    if facts.is_on_hub:
        lines += [f"base_model: {facts.original}", "base_model_relation: quantized"]
    tags = [*facts.formats, facts.recipe.export, "localfp4"]
    return [*lines, "tags:", *(f"- {tag}" for tag in tags), "---"]


def _first_sentence(facts: CardFacts) -> str:
    return (
        f"{facts.name}, quantised by localfp4 {__version__} with the command below. The licence is "
        "that of the original."
    )


def _recipe_rows(facts: CardFacts) -> Iterator[tuple[str, str]]:
    recipe = _published(facts.recipe)
    for format in facts.formats:
        yield "weights", _FORMATS[format]
    yield "made for inputs of", _INPUTS[recipe.precision]
    yield "method", f"{recipe.method}: {METHODS[recipe.method].help}"
    if recipe.rotation:
        yield "rotation", f"Hadamard, {recipe.rotation} features together"
    if recipe.distil is not None:
        yield "trained against the original", _ONE_DISTILLED[recipe.distil]
    if recipe.needs_calibration:
        source = recipe.calibration
        text = "localfp4's own text" if source.source is None else shown(source.source)
        windows = f"{source.samples} windows of at most {source.length} tokens"
        yield "calibration", f"{windows} of {text}, seed {source.seed}"
    if recipe.keep:
        yield "kept in 16 bits", ", ".join(recipe.keep)
    yield "layout", _LAYOUTS[recipe.export]
    share = facts.bytes_after / max(facts.bytes_before, 1)
    yield (
        "size",
        f"{in_decimal(facts.bytes_after, 2)}, {share:.0%} of {in_decimal(facts.bytes_before, 2)}",
    )


def _errors(facts: CardFacts) -> list[str]:
    if not facts.figures:
        return []
    rows = [_error_row(kind) for kind in figures_by_kind(facts.figures)]
    head = ("linears", "number", "format", "mean error", "largest", "of")
    return [
        "## Errors of single linears",
        "",
        meaning_of_errors(facts.recipe),
        "",
        *_table(rows, head),
        "",
        "What they do to answers is measured with",
        "",
        "```",
        f"localfp4 eval {shown(facts.folder)} --reference {facts.name}",
        "```",
    ]


def _error_row(kind: KindFigures) -> tuple[str, ...]:
    mean, largest = f"{kind.mean:.2%}", f"{kind.largest:.2%}"
    return kind.kind, str(kind.linears), kind.format, mean, largest, kind.worst


def _notes(facts: CardFacts) -> list[str]:
    if not facts.notes:
        return []
    return ["## Notes", "", *(f"- {note}" for note in facts.notes)]


def _loading(facts: CardFacts) -> list[str]:
    recipe, folder = facts.recipe, shown(facts.folder)
    lines = ["## How to load it", "", "```", f"localfp4 chat {folder}"]
    standard = recipe.format == "nvfp4" and recipe.precision in _READ_ELSEWHERE
    if standard and recipe.export in _LAYOUTS_OF_VLLM[facts.has_head]:
        lines.append(f"vllm serve {folder}")
    lines.append("```")
    if recipe.export == "compressed-tensors":
        lines += ["", *_transformers(facts, folder)]
    if recipe.export == "fp-quant" and recipe.precision != "w4a4":
        lines += ["", _SIXTEEN_BITS_OF_FP_QUANT]
    if recipe.export == "compressed-tensors" and standard and facts.has_head:
        lines += ["", _HEAD_ELSEWHERE]
    if not standard:
        lines += ["", _FEW_READ_IT]
    return lines


def _transformers(facts: CardFacts, folder: str) -> list[str]:
    lines = [
        "With transformers and compressed-tensors installed:",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM",
        "",
        f'model = AutoModelForCausalLM.from_pretrained("{folder}")',
        "```",
    ]
    if facts.has_experts and "nvfp4" in facts.formats:
        lines += ["", _EXPERTS_IN_TRANSFORMERS]
    return lines


def _table(rows: Iterable[Sequence[str]], head: Sequence[str]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _published(recipe: Recipe) -> Recipe:
    """Return a recipe that tells nothing of the disk: of a file of text only its name."""
    source = recipe.calibration.source
    if source is None or source.startswith("hub:"):
        return recipe
    name = source.replace("\\", "/").rpartition("/")[2]
    return replace(recipe, calibration=replace(recipe.calibration, source=name))
