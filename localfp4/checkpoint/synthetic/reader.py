"""Makes the values of a synthetic checkpoint, where they are wanted."""

import math

import torch

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.reader import TORCH_DTYPES, OutlineReader, TensorReader
from localfp4.checkpoint.synthetic.fills import Bits, SyntheticTensor
from localfp4.checkpoint.synthetic.model import SyntheticCheckpoint
from localfp4.errors import CheckpointError

_CPU = torch.device("cpu")

_BLOCK = 1_048_573
"""Words that are drawn; larger tensors repeat them, which is ten times as fast on a CPU. It is a
prime, so that every row of a matrix begins elsewhere among them and no two are alike."""


class SyntheticReader(TensorReader):
    """Answers like a reader of files, with random values that depend on the tensor alone.

    They are made on the device, so that gigabytes take seconds on a GPU, and within the result, so
    that nothing is in memory beside it.
    """

    def __init__(self, checkpoint: SyntheticCheckpoint, device: torch.device = _CPU) -> None:
        """Take what is to be read, and where large tensors are made."""
        super().__init__(checkpoint)
        self._device = device
        self._generators: dict[torch.device, torch.Generator] = {}

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor in memory of its own, in its stored dtype.

        Raises:
            CheckpointError: There is no such tensor.
        """
        return self._made(name, self._device)

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor, on the CPU.

        Raises:
            CheckpointError: There is no such tensor.
        """
        return self._made(name, _CPU)

    def _made(self, name: str, device: torch.device) -> torch.Tensor:
        info = self.checkpoint.tensors.get(name)
        if not isinstance(info, SyntheticTensor):
            raise CheckpointError(f"{shown(self.checkpoint.folder)} has no tensor {shown(name)}.")
        self.bytes_read += info.nbytes
        dtype = TORCH_DTYPES[info.dtype]
        if not isinstance(info.fill, Bits):
            return torch.full(info.shape, info.fill.value, dtype=dtype, device=device)
        bits = self._random_bits(info, device)
        width = dtype.itemsize
        # Words are masked whole: the mask of one element is repeated over the eight bytes.
        repeated = sum(1 << (8 * width * place) for place in range(8 // width))
        bits &= _signed(info.fill.mask * repeated)
        bits |= _signed(info.fill.base * repeated)
        return bits.view(dtype)[: math.prod(info.shape)].view(info.shape)

    def _random_bits(self, info: SyntheticTensor, device: torch.device) -> torch.Tensor:
        """Return words of 64 random bits that cover a tensor."""
        generator = self._generators.setdefault(device, torch.Generator(device))
        generator.manual_seed(info.start)
        words = torch.empty(-(-info.nbytes // 8), dtype=torch.int64, device=device)
        words[:_BLOCK].random_(-(2**63), None, generator=generator)
        done = _BLOCK
        while done < len(words):
            words[done : 2 * done] = words[: len(words) - done][:done]
            done *= 2
        return words


class SyntheticOutlineReader(OutlineReader):
    """Answers with tensors on the ``meta`` device, and with random values where they decide."""

    def __init__(self, checkpoint: SyntheticCheckpoint) -> None:
        super().__init__(checkpoint)
        self._reader = SyntheticReader(checkpoint)

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor, on the CPU.

        Raises:
            CheckpointError: There is no such tensor.
        """
        return self._reader.values(name)


def _signed(word: int) -> int:
    """Return the signed number of 64 bits that has the same bits."""
    return word - 2**64 if word >= 2**63 else word
