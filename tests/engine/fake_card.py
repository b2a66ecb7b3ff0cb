"""Main memory and a card that the bookkeeping of kept pages can be tried on."""

from collections.abc import Iterable, Sequence

from localfp4.runner.transfer import Transfer

BLOCK = 8
"""Bytes."""


class Blocks:
    """Main memory that grows by three blocks at a time up to a capacity."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data: list[bytearray] = []

    def grow(self) -> int:
        count = min(3, self.capacity - len(self.data))
        self.data += [bytearray(BLOCK) for _ in range(count)]
        return count

    def buffers(self, blocks: Sequence[int]) -> list[memoryview]:
        return [memoryview(self.data[block]) for block in blocks]


class Card:
    """The content of every place on the card, which transfers change as the runner does."""

    def __init__(self, memory: Blocks, kinds: Iterable[int], places: int) -> None:
        self.memory = memory
        self.content = {(kind, place): b"" for kind in kinds for place in range(places)}

    def move(self, transfers: Sequence[Transfer]) -> None:
        for leaving in (True, False):
            some = [one for one in transfers if one.to_card is not leaving]
            ends = [one.blocks if leaving else (one.kind, one.index) for one in some]
            assert len(set(ends)) == len(ends), "two copies have the same target"
            for one in some:
                views = self.memory.buffers(one.blocks)
                if leaving:
                    data = self.content[one.kind, one.index]
                    for number, view in enumerate(views):
                        view[:] = data[number * BLOCK : (number + 1) * BLOCK]
                else:
                    self.content[one.kind, one.index] = b"".join(map(bytes, views))
