"""How long runs would take at the limits that a card's maker tells; arithmetic only, torch-free."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from localfp4.bench.device.products import Products
from localfp4.bench.device.roofline import Roofline
from localfp4.bench.peaks import Limits
from localfp4.bench.planning.fitting import Fitting
from localfp4.bench.records import Method
from localfp4.bench.running.racer import WARM_TOKENS
from localfp4.bench.workload import Case
from localfp4.telemetry.cards import Card

_NARROW: Mapping[str, str] = MappingProxyType({"w4a8": "fp8", "w4a4": "fp4"})
"""What prompts are multiplied in where a precision is asked for; others count as 16 bits."""


def limits_of(card: Card) -> Limits:
    """Return the published limits of a card."""
    return Limits(
        copy_gb_per_s=card.bandwidth_gb_s,
        bfloat16_tflops=card.fp16_tflops,
        fp8_tflops=card.fp8_tflops,
        fp4_tflops=card.fp4_tflops,
    )


def least_seconds(fitting: Fitting, card: Card, method: Method, loadings: int) -> float | None:
    """Return how long all runs of a series take at least, warm-ups included.

    Args:
        fitting: Which cases.
        card: What runs them.
        method: How often.
        loadings: How often it is loaded, and warmed up then.

    Returns:
        Seconds without loading; ``None`` where the card's limits are not known, or where weights
        are read from main memory.
    """
    if fitting.plan is None or not fitting.plan.placement.is_whole:
        return None
    total = 0.0
    for case in fitting.cases:
        short = replace(case, output_tokens=min(case.output_tokens, WARM_TOKENS))
        run_s, warm_s = (_least_run_s(fitting, one, limits_of(card)) for one in (case, short))
        if run_s is None or warm_s is None:
            return None
        total += method.repeats * run_s + loadings * method.warmup * warm_s
    return total


def _least_run_s(fitting: Fitting, case: Case, limits: Limits) -> float | None:
    plan, weighed = fitting.plan, fitting.weighed
    assert plan is not None
    prefill = _NARROW.get(fitting.config.precision, "bfloat16")
    if limits.tflops(prefill) is None:
        prefill = "bfloat16"
    work = Roofline(
        weighed.spec,
        weighed.sizes,
        plan.kv_dtype,
        fitting.config.step_tokens("cuda"),
        Products(prefill, "bfloat16"),
    ).work(case)
    prompts = limits.least_s(work.prefill_bytes, work.prefill_flops, work.prefill_peak)
    step = limits.least_s(work.decode_bytes, work.decode_flops, work.decode_peak)
    if prompts is None or step is None:
        return None
    return prompts[0] + (case.output_tokens - 1) * step[0]
