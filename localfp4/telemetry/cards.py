"""Graphics cards that people have, in numbers: to plan for a card that is not here; torch-free.

Sizes, clocks and bandwidths are NVIDIA's published specifications; memory that programs can use is
what PyTorch reports as total capacity on Linux, where the driver keeps a few percent. In 2026-11 the
usable memory of most sizes and the bandwidth of some desktop cards were checked against reports; the
rest was not looked up card by card.

Peaks are dense, with float32 accumulation, from multiprocessors and boost clock: a GeForce
multiprocessor does 512 operations a clock in 16 bits and a professional one 1024, twice as many in
FP8 (since Ada), and eight and four times as many in FP4 (since Blackwell), by the architecture
white papers. Laptops differ in power, so that no peak is given for them.
"""

import difflib
import re
from dataclasses import dataclass

from localfp4.errors import RequestError

_GB = 10**9


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card.

    Attributes:
        name: As NVIDIA's driver has it, without the maker.
        capability: Compute capability times ten.
        memory_gib: Memory that programs can use, in GiB.
        bandwidth_gb_s: Of its memory, in 10^9 bytes a second.
        multiprocessors: Streaming multiprocessors.
        fp16_tflops: Dense matrix products of 16-bit numbers; ``None`` where clocks vary.
        fp8_tflops: The same of 8-bit numbers; ``None`` also before Ada.
        fp4_tflops: The same of 4-bit numbers; ``None`` also before Blackwell.
        pcie_generation: Of its link to the main memory; ``None`` where they share one memory, or
            where it varies.
        pcie_lanes: Of that link.
        drives_display: Whether a desktop usually runs on it.
    """

    name: str
    capability: int
    memory_gib: float
    bandwidth_gb_s: float
    multiprocessors: int
    fp16_tflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    pcie_generation: int | None = None
    pcie_lanes: int = 16
    drives_display: bool = True

    @property
    def memory_bytes(self) -> int:
        """Memory that programs can use."""
        return int(self.memory_gib * 2**30)

    @property
    def bandwidth(self) -> float:
        """Of its memory, in bytes a second."""
        return self.bandwidth_gb_s * _GB

    @property
    def link(self) -> float | None:
        """Bytes a second from the main memory, as far as the link allows."""
        if self.pcie_generation is None:
            return None
        return link_bytes_per_s(self.pcie_generation, self.pcie_lanes)


def link_bytes_per_s(generation: int, lanes: int) -> float:
    """Return what a PCI Express link carries one way.

    8 GT/s a lane in generation 3, doubling with each, less the 128b/130b code (PCI-SIG).
    """
    return 8e9 * 2.0 ** (generation - 3) * lanes * (128 / 130) / 8


def _geforce(
    name: str,
    capability: int,
    memory: float,
    bandwidth: float,
    multiprocessors: int,
    boost_ghz: float | None,
    lanes: int = 16,
) -> Card:
    """Describe a GeForce; laptops come without a clock."""
    generation = 5 if capability >= 120 else 4
    if boost_ghz is None:
        return Card(name, capability, memory, bandwidth, multiprocessors)
    fp16 = multiprocessors * boost_ghz * 0.512
    return Card(
        name,
        capability,
        memory,
        bandwidth,
        multiprocessors,
        fp16_tflops=fp16,
        fp8_tflops=2 * fp16 if capability >= 89 else None,
        fp4_tflops=8 * fp16 if capability >= 120 else None,
        pcie_generation=generation,
        pcie_lanes=lanes,
    )


CARDS: tuple[Card, ...] = (
    _geforce("GeForce RTX 3060", 86, 11.6, 360, 28, 1.777),
    _geforce("GeForce RTX 3060 Ti", 86, 7.6, 448, 38, 1.665),
    _geforce("GeForce RTX 3070", 86, 7.6, 448, 46, 1.725),
    _geforce("GeForce RTX 3070 Ti", 86, 7.6, 608, 48, 1.770),
    _geforce("GeForce RTX 3080", 86, 9.6, 760, 68, 1.710),
    _geforce("GeForce RTX 3080 12GB", 86, 11.6, 912, 70, 1.710),
    _geforce("GeForce RTX 3080 Ti", 86, 11.6, 912, 80, 1.665),
    _geforce("GeForce RTX 3090", 86, 23.6, 936, 82, 1.695),
    _geforce("GeForce RTX 3090 Ti", 86, 23.6, 1008, 84, 1.860),
    _geforce("GeForce RTX 4060", 89, 7.6, 272, 24, 2.460, lanes=8),
    _geforce("GeForce RTX 4060 Ti", 89, 7.6, 288, 34, 2.535, lanes=8),
    _geforce("GeForce RTX 4060 Ti 16GB", 89, 15.6, 288, 34, 2.535, lanes=8),
    _geforce("GeForce RTX 4070", 89, 11.6, 504, 46, 2.475),
    _geforce("GeForce RTX 4070 SUPER", 89, 11.6, 504, 56, 2.475),
    _geforce("GeForce RTX 4070 Ti", 89, 11.6, 504, 60, 2.610),
    _geforce("GeForce RTX 4070 Ti SUPER", 89, 15.6, 672, 66, 2.610),
    _geforce("GeForce RTX 4080", 89, 15.6, 717, 76, 2.505),
    _geforce("GeForce RTX 4080 SUPER", 89, 15.6, 736, 80, 2.550),
    _geforce("GeForce RTX 4090", 89, 23.6, 1008, 128, 2.520),
    _geforce("GeForce RTX 4090 D", 89, 23.6, 1008, 114, 2.520),
    _geforce("GeForce RTX 4060 Laptop GPU", 89, 7.6, 256, 24, None),
    _geforce("GeForce RTX 4070 Laptop GPU", 89, 7.6, 256, 36, None),
    _geforce("GeForce RTX 4080 Laptop GPU", 89, 11.6, 432, 58, None),
    _geforce("GeForce RTX 4090 Laptop GPU", 89, 15.6, 576, 76, None),
    _geforce("GeForce RTX 5050", 120, 7.6, 320, 20, 2.572, lanes=8),
    _geforce("GeForce RTX 5060", 120, 7.6, 448, 30, 2.497, lanes=8),
    _geforce("GeForce RTX 5060 Ti", 120, 7.6, 448, 36, 2.572, lanes=8),
    _geforce("GeForce RTX 5060 Ti 16GB", 120, 15.5, 448, 36, 2.572, lanes=8),
    _geforce("GeForce RTX 5070", 120, 11.5, 672, 48, 2.512),
    _geforce("GeForce RTX 5070 Ti", 120, 15.5, 896, 70, 2.452),
    _geforce("GeForce RTX 5080", 120, 15.5, 960, 84, 2.617),
    _geforce("GeForce RTX 5090", 120, 31.4, 1792, 170, 2.407),
    _geforce("GeForce RTX 5070 Laptop GPU", 120, 7.5, 384, 36, None),
    _geforce("GeForce RTX 5070 Ti Laptop GPU", 120, 11.5, 672, 46, None),
    _geforce("GeForce RTX 5080 Laptop GPU", 120, 15.5, 896, 60, None),
    _geforce("GeForce RTX 5090 Laptop GPU", 120, 23.5, 896, 82, None),
    Card("RTX PRO 6000 Blackwell", 120, 94.9, 1792, 188, 504, 1008, 2015, 5),
    Card("A100 40GB", 80, 39.4, 1555, 108, 312, None, None, 4, drives_display=False),
    Card("A100 80GB", 80, 79.1, 2039, 108, 312, None, None, 4, drives_display=False),
    Card("H100 PCIe", 90, 79.1, 2039, 114, 756, 1513, None, 5, drives_display=False),
    Card("H100 80GB HBM3", 90, 79.1, 3350, 132, 989, 1979, None, 5, drives_display=False),
    Card("H200", 90, 139.8, 4800, 132, 989, 1979, None, 5, drives_display=False),
    Card("GB10", 121, 119.6, 273, 48, drives_display=True),
)
"""Grouped by generation; two sizes of a card are told apart by their memory."""


def card_named(name: str) -> Card:
    """Return the card that a user calls ``4070``, ``rtx 4070 ti super`` or by its full name.

    Raises:
        RequestError: There is none, with the names that come closest.
    """
    wanted = _key(name)
    matches = [card for card in CARDS if wanted and _key(card.name) == wanted]
    if not matches:
        matches = [card for card in CARDS if wanted and _key(card.name).startswith(f"{wanted} ")]
    if matches:
        return matches[0]
    keys = {_key(card.name): card.name for card in CARDS}
    close = [keys[key] for key in difflib.get_close_matches(wanted, list(keys), n=3, cutoff=0.5)]
    near = f"Did you mean {' or '.join(close)}?" if close else f"Known are {_all_names()}."
    raise RequestError(f"No graphics card '{name}' is known. {near}")


def card_of_device(device: str, memory_bytes: int) -> Card | None:
    """Return the card that a driver's device name and its size tell of, if it is known.

    Args:
        device: Such as ``NVIDIA GeForce RTX 4060 Ti``.
        memory_bytes: All of its memory, which tells two sizes apart.
    """
    key = _key(device)
    found = [card for card in CARDS if _without_size(_key(card.name)) == _without_size(key)]
    if not found:
        # Drivers add the edition or the form, as in "A100-SXM4-80GB", "... Workstation Edition".
        found = [card for card in CARDS if _is_edition(set(_words(device)), set(_words(card.name)))]
    close = [card for card in found if abs(card.memory_bytes - memory_bytes) < memory_bytes / 8]
    return close[0] if close else None


def _all_names() -> str:
    return ", ".join(card.name.removeprefix("GeForce ") for card in CARDS)


def _words(name: str) -> list[str]:
    """Split a name into lower-case words, without what every card is called."""
    spaced = re.sub(r"(?<=\d)(?=(ti|super)\b)|(?<=rtx)(?=\d)", " ", name.lower())
    words = re.findall(r"[a-z0-9]+", spaced)
    return [word for word in words if word not in ("nvidia", "geforce", "rtx", "gpu")]


def _key(name: str) -> str:
    return " ".join(_words(name))


def _is_edition(device: set[str], card: set[str]) -> bool:
    """Say whether a device is a card with words added that do not make it another card."""
    return card <= device and not (device - card) & {"ti", "super", "laptop", "max"}


def _without_size(key: str) -> str:
    return re.sub(r" \d+gb$", "", key)
