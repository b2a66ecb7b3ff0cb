"""What a device reaches at best: measured on the CPU, with the device's part of a GPU left out."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from localfp4.bench.device import bandwidth, best_time, limits, product_peaks
from localfp4.bench.device.bandwidth import measure_bandwidth
from localfp4.bench.device.best_time import best_s
from localfp4.bench.device.limits import measure_limits
from localfp4.bench.device.product_peaks import (
    MakeProduct,
    cpu_tflops,
    dense_product,
    fp4_product,
    fp8_product,
    gpu_tflops,
)
from localfp4.errors import UserError

CPU, META = torch.device("cpu"), torch.device("meta")
GIB = 2**30


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "_BUDGET_S", 0.02)
    monkeypatch.setattr(bandwidth, "_CACHED_BUDGET_S", 0.002)
    monkeypatch.setattr(product_peaks, "_CPU_SIZES", (256,))
    monkeypatch.setattr(product_peaks, "_CPU_BUDGET_S", 0.02)


@pytest.mark.usefixtures("hasty")
def test_a_cpu_has_bandwidths_and_peaks() -> None:
    found = measure_limits(CPU, free_bytes=2**28, dtype=torch.bfloat16)
    assert 0.05 < found.copy_gb_per_s < 5000
    for peak in (found.float32_tflops, found.bfloat16_tflops):
        assert peak is not None
        assert 1e-5 < peak < 100
    assert found.read_gb_per_s is not None
    assert 0.05 < found.read_gb_per_s < 5000
    assert found.fp8_tflops is found.fp4_tflops is None


@pytest.mark.parametrize(
    ("dtype", "bfloat16", "reported"),
    [
        (torch.float32, 0.1, None),
        (torch.float32, 0.3, 0.3),
        (torch.bfloat16, 0.1, 0.1),
        (torch.float16, 0.1, 0.1),
    ],
)
def test_a_cpu_has_bfloat16_where_it_is_used_or_faster(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    bfloat16: float,
    reported: float | None,
) -> None:
    monkeypatch.setattr(bandwidth, "best_s", lambda *_: 0.5)
    peaks = {torch.float32: 0.2, torch.bfloat16: bfloat16}
    monkeypatch.setattr(limits, "cpu_tflops", peaks.__getitem__)
    found = measure_limits(CPU, 2**24, dtype)
    assert (found.float32_tflops, found.bfloat16_tflops) == (0.2, reported)


def test_a_copy_counts_as_read_and_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "best_s", lambda *_: 0.5)
    found = measure_bandwidth(CPU, free_bytes=2**26)
    assert found.copy_gb_per_s == pytest.approx(2 * 2**24 / 0.5 / 1e9)
    assert found.read_gb_per_s == pytest.approx(2**24 / 0.5 / 1e9)


def test_caches_end_before_the_size_that_is_as_slow_as_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spent_s(run: Callable[[], object], device: torch.device, budget_s: float) -> float:
        source = getattr(run, "__self__", None)  # of a sum, which is a method of what it reads
        if not isinstance(source, torch.Tensor):
            return 2 * 2**27 / 10e9
        rate = {2**22: 100e9, 2**23: 120e9, 2**24: 90e9}.get(source.nbytes, 12e9)
        return source.nbytes / rate

    monkeypatch.setattr(bandwidth, "best_s", spent_s)
    found = measure_bandwidth(CPU, free_bytes=2**29)
    assert found.copy_gb_per_s == pytest.approx(10)
    assert found.read_gb_per_s == pytest.approx(12)
    assert found.cached_gb_per_s == pytest.approx(120)
    assert found.cached_bytes == 2**25


def test_products_of_a_cpu_grow_until_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.001, 0.002, 0.004, 0.1])
    monkeypatch.setattr(product_peaks, "best_s", lambda *_: next(times))
    assert cpu_tflops(torch.float32) == pytest.approx(2 * 1024**3 / 0.004 / 1e12)
    times = iter([0.007, 0.06])
    assert cpu_tflops(torch.bfloat16) == pytest.approx(2 * 256**3 / 0.007 / 1e12)


def test_the_shortest_of_several_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, now = iter([0.001, 0.02, 0.002, 0.03, 0.0001]), 0.0

    def run() -> None:
        nonlocal now
        now += next(waits)

    monkeypatch.setattr(best_time, "time", SimpleNamespace(perf_counter=lambda: now))
    # The first warms up, and the last begins after the budget.
    assert best_s(run, CPU, 0.05) == pytest.approx(0.002)


@pytest.mark.parametrize(
    "make", [dense_product(torch.bfloat16), dense_product(torch.float32), fp8_product, fp4_product]
)
def test_torch_takes_the_factors_of_every_product(make: MakeProduct) -> None:
    """Its own checks of types, strides and scales run without a device."""
    assert make(META, 512)().shape == (512, 512)


def test_torch_refuses_scales_of_another_number() -> None:
    a = torch.zeros(512, 256, dtype=torch.uint8, device=META).view(torch.float4_e2m1fn_x2)
    scales = torch.ones(512 * 16, device=META).to(torch.float8_e4m3fn)
    with pytest.raises(RuntimeError, match="should have 16384 elements"):
        torch._scaled_mm(a, a.T, scale_a=scales, scale_b=scales, out_dtype=torch.bfloat16)


def test_products_that_a_gpu_cannot_make_have_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def refused(device: torch.device, size: int) -> Any:
        sizes.append(size)
        raise NotImplementedError("scaled_mm is only supported on other devices")

    def misunderstood(device: torch.device, size: int) -> Any:
        raise ValueError("Invalid scaling configuration")

    assert gpu_tflops(META, 80 * GIB, misunderstood) is None
    assert gpu_tflops(META, 80 * GIB, refused) is None
    assert gpu_tflops(META, GIB, refused) is None
    assert sizes == [8192, 4096]
    monkeypatch.setattr(product_peaks, "best_s", lambda *_: 1e-3)
    assert gpu_tflops(META, GIB, fp4_product) == pytest.approx(2 * 4096**3 / 1e-3 / 1e12)


@pytest.mark.parametrize(
    ("capability", "dtype", "measured"),
    [
        ((8, 6), torch.bfloat16, {"bfloat16"}),
        ((8, 9), torch.float32, {"float32", "bfloat16", "fp8"}),
        ((9, 0), torch.float16, {"bfloat16", "fp8"}),
        ((12, 0), torch.bfloat16, {"bfloat16", "fp8", "fp4"}),
    ],
)
def test_a_gpu_is_measured_in_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    dtype: torch.dtype,
    measured: set[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    reached = bandwidth.Bandwidth(1000.0, 1100.0)
    monkeypatch.setattr(limits, "measure_bandwidth", lambda *_: reached)
    monkeypatch.setattr(limits, "gpu_tflops", lambda *_: 5.0)
    found = measure_limits(torch.device("cuda"), 8 * GIB, dtype)
    kinds = ("float32", "bfloat16", "fp8", "fp4")
    assert {kind for kind in kinds if found.tflops(kind) == 5.0} == measured
    assert (found.copy_gb_per_s, found.read_gb_per_s) == (1000.0, 1100.0)


def test_what_a_gpu_moves_is_far_larger_than_its_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {"L2_cache_size": 96 * 2**20}  # of a GeForce RTX 5090
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(**cards))
    zeros = torch.zeros
    monkeypatch.setattr(
        torch, "zeros", lambda size, dtype, device: zeros(size, dtype=dtype, device=META)
    )
    sizes: list[int] = []

    def spent_s(run: Callable[[], object], device: torch.device, budget_s: float) -> float:
        source = getattr(run, "__self__", None)
        sizes.extend([source.nbytes] if isinstance(source, torch.Tensor) else [])
        return 1.0

    monkeypatch.setattr(bandwidth, "best_s", spent_s)
    cuda = torch.device("cuda")
    assert measure_bandwidth(cuda, 8 * GIB).copy_gb_per_s == pytest.approx(2 * GIB / 1e9)
    measure_bandwidth(cuda, 2 * GIB)
    assert sizes == [GIB, GIB // 2]
    with pytest.raises(UserError, match=r"^The GPU's memory is too full to measure"):
        measure_bandwidth(cuda, GIB)


def test_a_gpu_that_another_program_fills_meanwhile_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(limits, "measure_bandwidth", full)
    with pytest.raises(UserError, match=r"^The GPU's memory is too full to measure"):
        measure_limits(torch.device("cuda"), 8 * GIB)


def test_the_clock_of_a_gpu_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is recorded on the current GPU, whatever GPU the work was given to."""
    current: list[Any] = ["cuda:0"]

    class Current:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            current.append(str(self.device))

        def __exit__(self, *_: object) -> None:
            current.pop()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            self.where = ""

        def record(self) -> None:
            self.where = current[-1]

        def synchronize(self) -> None:
            assert self.where == "cuda:1"

        def elapsed_time(self, other: Any) -> float:
            assert self.where == other.where == "cuda:1"
            return 3.0

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert best_s(lambda: None, torch.device("cuda:1"), 0.0) == 0.003
    assert current == ["cuda:0"]
