"""Which GPU is taken of several, and how CUDA counts them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4.telemetry import choice as module
from localfp4.telemetry.choice import best_gpu, choice_in_words, chosen_gpu, visible_gpus
from localfp4.telemetry.gpus import Gpu

GIB = 2**30


def gpu(name: str, gib: float, capability: int, index: int = 0, **rest: Any) -> Gpu:
    uuid = f"GPU-{index}abc"
    total = int(gib * GIB)
    return Gpu(f"NVIDIA GeForce {name}", uuid, total, total // 2, capability, index=index, **rest)


THREE = [gpu("GTX 1050", 4, 61, 0), gpu("RTX 3090", 24, 86, 1), gpu("RTX 4060", 8, 89, 2)]


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (gpu("GTX 1080", 8, 61), gpu("RTX 3060 Ti", 8, 86)),
        (gpu("RTX 5070", 12, 120), gpu("RTX 3090", 24, 86)),
        (gpu("RTX 5060 Ti", 15.93, 120), gpu("RTX 4070 Ti SUPER", 15.99, 89)),
        (gpu("RTX 3090", 24, 86), gpu("RTX 4090", 23.99, 89)),
        (gpu("RTX 4060 Ti", 16, 89), gpu("RTX 4080", 16, 89, drives_display=True)),
        (gpu("GTX 1080", 24, 80), gpu("Titan of 2027", 24, 130)),
        (gpu("RTX 4090", 24, 89, drives_display=True), gpu("RTX 4090", 24, 89)),
        (replace(gpu("RTX 4090", 24, 89), free_bytes=GIB), gpu("RTX 4090", 24, 89)),
    ],
    ids=[
        "kernels run on it",
        "larger",
        "faster memory, of what is sold as the same size",
        "faster memory, of a size that drivers tell in many ways",
        "a display does not make it slow",
        "newer, where neither is known",
        "no display",
        "more is free",
    ],
)
def test_which_of_two_is_better(worse: Gpu, better: Gpu) -> None:
    for worse_index, better_index in ((0, 1), (1, 0)):
        pair = [replace(worse, index=worse_index), replace(better, index=better_index)]
        assert best_gpu(pair) == pair[1]


def test_of_equal_ones_the_first_on_the_bus_is_taken_and_of_none_none() -> None:
    twins = [gpu("RTX 4090", 24, 89, index) for index in (1, 0)]
    assert best_gpu(twins) == twins[1]
    assert best_gpu([]) is None
    assert best_gpu(THREE[:1]) is None, "no kernels run on it"


@pytest.mark.parametrize(
    ("variable", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("1,9,2", [1]),
        ("1,1", []),
        ("GPU-2abc,GPU-0", [2, 0]),
        ("GPU-", [0]),
        ("nonsense", []),
    ],
)
def test_what_cuda_shows(variable: str | None, indices: list[int]) -> None:
    environ = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    assert [gpu.index for gpu in visible_gpus(THREE, environ)] == indices


@given(st.lists(st.integers(-1, 2), max_size=4))
@settings(max_examples=25, deadline=None)
def test_numbers_mean_what_they_mean_to_torch(numbers: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, numbers)))
        assert [gpu.index for gpu in visible_gpus(THREE)] == torch.cuda._parse_visible_devices()


def test_a_part_of_a_card_is_asked_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Gpu("NVIDIA H100 MIG 1g.10gb", "MIG-5e", 10 * GIB, 9 * GIB, 90)
    monkeypatch.setattr(module, "gpu_with_uuid", {"MIG-5e": part}.get)
    assert visible_gpus(THREE, {"CUDA_VISIBLE_DEVICES": "MIG-5e"}) == [part]
    assert visible_gpus(THREE, {"CUDA_VISIBLE_DEVICES": "MIG-5f"}) == []


@pytest.mark.parametrize(
    ("device", "index"), [(None, 1), ("cuda", 1), ("cuda:0", 0), ("cuda:2", 2)]
)
def test_a_device_is_the_best_one_or_the_one_that_is_named(device: str, index: int) -> None:
    assert chosen_gpu(device, THREE) == index
    assert chosen_gpu(None, []) is None


@pytest.mark.parametrize(
    ("device", "visible", "words"),
    [
        ("cuda:3", THREE, r"There is no GPU 'cuda:3'; the last one here is cuda:2\."),
        ("cuda:0", [], r"There is no GPU 'cuda:0'; none is here\."),
        ("cuda:one", THREE, r"There is no device 'cuda:one'; use cpu, cuda or cuda:0\."),
        ("cuda:²", THREE, r"There is no device 'cuda:²'; use cpu, cuda or cuda:0\."),
    ],
)
def test_a_device_that_is_not_there(device: str, visible: list[Gpu], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        chosen_gpu(device, visible)


def test_the_choice_is_named_with_the_way_to_another() -> None:
    assert choice_in_words(THREE[1:], 0) == (
        "GeForce RTX 3090, the best of 2; --device cuda:1 takes the other"
    )
    assert choice_in_words(THREE, 1) == (
        "GeForce RTX 3090, the best of 3; --device cuda:0 or cuda:2 takes another"
    )
    twins = [gpu("RTX 4090", 24, 89, index) for index in (0, 1)]
    assert choice_in_words(twins, 1).startswith("GeForce RTX 4090 (cuda:1), the best of 2; ")
    assert choice_in_words(twins[:1], 0) == ""
