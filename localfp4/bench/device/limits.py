"""What a device reaches at best: copies within its memory, and large products."""

from dataclasses import asdict

import torch

from localfp4.bench.device.bandwidth import TOO_FULL, measure_bandwidth
from localfp4.bench.device.product_peaks import (
    MakeProduct,
    cpu_tflops,
    dense_product,
    fp4_product,
    fp8_product,
    gpu_tflops,
    has_fp4,
    has_fp8,
)
from localfp4.bench.peaks import Limits
from localfp4.engine.faults import out_of_memory_as


@torch.inference_mode()
def measure_limits(
    device: torch.device, free_bytes: int, dtype: torch.dtype = torch.bfloat16
) -> Limits:
    """Measure a device for a second or two.

    Args:
        device: A CPU, or a GPU.
        free_bytes: Memory that can be allocated there; half of it is used at most.
        dtype: What is computed in there, which is measured even where another type is faster.

    Raises:
        UserError: A GPU's memory is too full for it.
    """
    with out_of_memory_as(TOO_FULL):  # another program may have been faster
        bandwidth = asdict(measure_bandwidth(device, free_bytes))
    if device.type != "cuda":
        float32, bfloat16 = cpu_tflops(torch.float32), cpu_tflops(torch.bfloat16)
        is_of_use = dtype != torch.float32 or bfloat16 > float32
        return Limits(
            **bandwidth,
            float32_tflops=float32,
            bfloat16_tflops=bfloat16 if is_of_use else None,
        )

    def peak(make: MakeProduct) -> float | None:
        return gpu_tflops(device, free_bytes, make)

    return Limits(
        **bandwidth,
        float32_tflops=peak(dense_product(dtype)) if dtype == torch.float32 else None,
        bfloat16_tflops=peak(dense_product(torch.bfloat16)),
        fp8_tflops=peak(fp8_product) if has_fp8(device) else None,
        fp4_tflops=peak(fp4_product) if has_fp4(device) else None,
    )
