"""What a config has to tell of a checkpoint, whoever's config it is; stdlib only."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.sites import HEAD

_LAYER = re.compile(r"^.*?\blayers\.(\d+)\.", re.ASCII)
_EXPERT = re.compile(r"\.experts\.\d+\.", re.ASCII)


@dataclass(frozen=True, slots=True)
class Contents:
    """The linears of a checkpoint, as its files call them.

    Attributes:
        quantised: Format of each that was rounded.
        kept: Linears of the language model in 16 bits.
        embeddings: Tables that are looked up in.
        towers: Parts for other senses, none of which is quantised, such as ``visual``.
    """

    quantised: Mapping[str, WeightFormat]
    kept: tuple[str, ...]
    embeddings: tuple[str, ...]
    towers: tuple[str, ...]

    @property
    def formats(self) -> tuple[WeightFormat, ...]:
        """The formats that occur, in the order of their names."""
        return tuple(sorted(set(self.quantised.values())))

    @property
    def has_head(self) -> bool:
        """Whether the output projection was rounded, too."""
        return any(name.endswith(HEAD) for name in self.quantised)

    def targets(self, format: WeightFormat) -> list[str]:
        """Return patterns that fit the linears of one format and no others."""
        return patterns(name for name, own in self.quantised.items() if own == format)


def is_expert(name: str) -> bool:
    """Say whether a linear belongs to an expert of a mixture."""
    return _EXPERT.search(name) is not None


def patterns(names: Iterable[str]) -> list[str]:
    """Return regular expressions that fit some linears and no others, as few as there can be.

    Loaders that wrap the decoder differently all have ``layers.N.`` in their names, so that
    patterns begin there; all experts of a layer share one.
    """
    return sorted(_patterns(names))


def _patterns(names: Iterable[str]) -> Iterator[str]:
    layers: dict[str, set[int]] = {}
    for name in names:
        found = _LAYER.match(name)
        if found is None:
            yield name
        else:
            own = _EXPERT.sub(r".experts.N.", name[found.end() :])
            layers.setdefault(own, set()).add(int(found[1]))
    for own, numbers in layers.items():
        path = re.escape(own).replace(r"experts\.N\.", r"experts\.\d+\.")
        which = "|".join(str(number) for number in sorted(numbers))
        yield rf"re:.*\blayers\.({which})\.{path}$"
