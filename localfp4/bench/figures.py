"""From the moments in which tokens came to the figures of a batch; arithmetic only.

The same for every engine: TPOT is ``(E2E - TTFT) / (n - 1)`` as in vLLM's benchmark, and
percentiles interpolate linearly as numpy's do.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.records import Figures, Measured


def figures(measured: Measured) -> Figures:
    """Work out the figures of a batch; requests that got no token count as prompts alone.

    Raises:
        CaseFailedError: No token came, or no time passed until the first ones.
    """
    times = [moments for moments in measured.arrivals.values() if moments]
    if not times:
        raise CaseFailedError("No token came.")
    prefilled_s = max(moments[0] for moments in times)
    if prefilled_s <= 0:
        raise CaseFailedError("No time passed until the first tokens came.")
    end_s = max(moments[-1] for moments in times)
    generated = sum(map(len, times))
    decoded = sum(moment > prefilled_s for moments in times for moment in moments)
    first_ms = [1e3 * moments[0] for moments in times]
    gaps_ms = [1e3 * gap for moments in times for gap in gaps(moments)]
    tpot_s = [(moments[-1] - moments[0]) / (len(moments) - 1) for moments in times if moments[1:]]
    mean_tpot_s = fmean(tpot_s) if tpot_s else None
    return Figures(
        ttft_ms=fmean(first_ms),
        ttft_p50_ms=percentile(first_ms, 50),
        ttft_p90_ms=percentile(first_ms, 90),
        ttft_p99_ms=percentile(first_ms, 99),
        tpot_ms=None if mean_tpot_s is None else 1e3 * mean_tpot_s,
        itl_p50_ms=percentile(gaps_ms, 50) if gaps_ms else None,
        itl_p99_ms=percentile(gaps_ms, 99) if gaps_ms else None,
        e2e_ms=fmean(1e3 * moments[-1] for moments in times),
        seconds=end_s,
        prefill_tokens_per_s=measured.prompt_tokens / prefilled_s,
        decode_tokens_per_s=decoded / (end_s - prefilled_s) if decoded else None,
        decode_tokens_per_s_per_user=1 / mean_tpot_s if mean_tpot_s else None,
        output_tokens_per_s=generated / end_s,
        total_tokens_per_s=(measured.prompt_tokens + generated) / end_s,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, between the values that it falls between.

    Args:
        values: At least one, in any order.
        percent: 0 to 100.
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    if below + 1 == len(ordered):
        return ordered[-1]
    low, high = ordered[below], ordered[below + 1]
    return min(low + (high - low) * (place - below), high)


def gaps(moments: Sequence[float]) -> list[float]:
    """Return the seconds between moments in which tokens came; those that came at once are one."""
    return [later - earlier for earlier, later in pairwise(moments) if later > earlier]
