"""Limits of a device: merged, in words, and how long work takes at least."""

import pytest

from localfp4.bench.peaks import Limits

GPU = Limits(4000.0, bfloat16_tflops=700.0, fp8_tflops=1300.0)
CPU = Limits(
    10.0,
    float32_tflops=0.2,
    read_gb_per_s=12.5,
    cached_gb_per_s=100.0,
    cached_bytes=32 * 2**20,
)


def test_of_two_measurements_the_better_counts_limit_by_limit() -> None:
    again = Limits(3900.0, bfloat16_tflops=720.0, fp4_tflops=1400.0)
    best = Limits(4000.0, bfloat16_tflops=720.0, fp8_tflops=1300.0, fp4_tflops=1400.0)
    assert GPU.best(again) == again.best(GPU) == best
    assert CPU.best(Limits(11.0, cached_bytes=2**24)).cached_bytes == 2**25


def test_limits_in_words() -> None:
    words = "copy 4000 GB/s, bfloat16 products 700 TFLOPS, fp8 products 1300 TFLOPS"
    assert GPU.in_words() == words
    assert CPU.in_words() == (
        "copy 10 GB/s, read 12.5 GB/s, 100 GB/s in caches (less than 32 MiB), "
        "float32 products 0.2 TFLOPS"
    )


@pytest.mark.parametrize(
    ("limits", "moved", "flops", "products", "seconds", "why"),
    [
        (GPU, 8e9, 1e12, "bfloat16", 2e-3, "memory"),
        (GPU, 8e9, 7e12, "bfloat16", 1e-2, "compute"),
        (GPU, 8e9, 13e12, "fp8", 1e-2, "compute"),
        (CPU, 1e9, 1e9, "float32", 0.08, "memory"),  # at the speed of reading
        (CPU, 2e7, 1e6, "float32", 2e-4, "cache"),
        (CPU, 2e7, 1e9, "float32", 5e-3, "compute"),
        (CPU, 32 * 2**20, 0, "float32", 32 * 2**20 / 12.5e9, "memory"),
    ],
)
def test_work_takes_as_long_as_its_bytes_or_its_operations(
    limits: Limits, moved: float, flops: float, products: str, seconds: float, why: str
) -> None:
    least = limits.least_s(moved, flops, products)
    assert least is not None
    assert least[0] == pytest.approx(seconds)
    assert least[1] == why


def test_products_that_were_not_measured_have_no_limit() -> None:
    assert GPU.least_s(1, 1, "fp4") is None
    assert GPU.tflops("float32") is None
