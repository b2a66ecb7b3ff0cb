"""The best that a device allows for a case: the lines beside what was reached."""

from localfp4.bench.peaks import Limits
from localfp4.bench.records import Work
from localfp4.bench.workload import Case


def bests(case: Case, work: Work, limits: Limits) -> dict[str, float]:
    """Return the best values of figures, by name: least times, and the highest speed.

    They are those of the whole batch, first all its prompts and then step by step. The mean TTFT of
    requests that arrive together is least where prompts are computed one after another, so that the
    i-th of b has waited for i/b of their work: (b + 1) / 2b of all of it. Where some requests decode
    beside the prompts of others, the sum of both phases is what it would be without.

    Args:
        case: What was run.
        work: What it takes at least.
        limits: Of the device; figures that need a peak which was not measured are left out.
    """
    steps = case.output_tokens - 1
    prompts = limits.least_s(work.prefill_bytes, work.prefill_flops, work.prefill_peak)
    step = limits.least_s(work.decode_bytes, work.decode_flops, work.decode_peak)
    found = {}
    if prompts:
        found["ttft_ms"] = prompts[0] * 1e3 * (case.batch + 1) / (2 * case.batch)
    if step and steps:
        found["tpot_ms"] = step[0] * 1e3
    if prompts and step:
        whole_s = prompts[0] + steps * step[0]
        found["output_tokens_per_s"] = case.batch * case.output_tokens / whole_s
    return found
