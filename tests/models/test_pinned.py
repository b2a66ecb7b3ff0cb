"""Page-locked memory, with a driver that only keeps books."""

import ctypes
import gc
import mmap
from typing import Any

import pytest
import torch

from localfp4.errors import ContextError
from localfp4.models.pinned import host_copy


class Cudart:
    """What is locked at the moment, as address and size."""

    def __init__(self) -> None:
        self.locked: dict[int, int] = {}
        self.status = 0

    def cudaHostRegister(self, address: int, size: int, flags: int) -> int:
        assert flags == 3
        assert address % mmap.PAGESIZE == size % mmap.PAGESIZE == 0
        assert not any(a < address + size and address < a + s for a, s in self.locked.items())
        if self.status == 0:
            self.locked[address] = size
        return self.status

    def cudaHostUnregister(self, address: int) -> int:
        ctypes.string_at(address, self.locked[address])  # not freed yet
        del self.locked[address]
        return 0


class OnCard(torch.Tensor):
    """A tensor that says it is on a GPU."""

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True


@pytest.fixture
def cudart(monkeypatch: pytest.MonkeyPatch) -> Cudart:
    books = Cudart()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: books)
    return books


def on_card(tensor: torch.Tensor) -> Any:
    return tensor.as_subclass(OnCard)


@pytest.mark.parametrize("shape", [(3, 5), (1,), (4096,), (70, 33, 2)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_copies_are_locked_while_anything_looks_at_them(
    cudart: Cudart, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    tensor = torch.randint(200, shape).to(dtype)
    other = host_copy(on_card(tensor))
    copy = host_copy(on_card(tensor))
    assert type(copy) is torch.Tensor
    assert torch.equal(copy, tensor)
    (address, size) = list(cudart.locked.items())[1]
    assert copy.data_ptr() == address
    assert tensor.nbytes <= size < tensor.nbytes + mmap.PAGESIZE
    view = copy[:1].flatten()
    del copy
    gc.collect()
    assert len(cudart.locked) == 2
    assert torch.equal(view, tensor[:1].flatten())
    del view
    gc.collect()
    assert len(cudart.locked) == 1
    del other


def test_what_is_in_main_memory_already_stays(cudart: Cudart) -> None:
    tensor = torch.ones(3)
    assert host_copy(tensor) is tensor
    outline = torch.empty(3, device="meta")
    assert host_copy(outline) is outline
    assert not cudart.locked


def test_too_little_memory_is_told_in_words(
    cudart: Cudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudart.status = 2
    with pytest.raises(ContextError, match=r"^0\.0 GiB of main memory could not be locked"):
        host_copy(on_card(torch.ones(3)))
    assert not cudart.locked

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("localfp4.models.pinned.np.empty", refuse)
    with pytest.raises(ContextError, match="close other programs"):
        host_copy(on_card(torch.ones(3)))
