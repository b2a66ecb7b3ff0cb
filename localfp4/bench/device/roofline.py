"""How far from the machine's own limits a measurement is; arithmetic only, no tensors."""

from dataclasses import dataclass

from localfp4.bench.device.products import Products
from localfp4.bench.peaks import Bound, Limits
from localfp4.bench.records import Figures, Work
from localfp4.bench.workload import Case
from localfp4.models.flops import decode_flops, prefill_flops
from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import decode_bytes, prefill_bytes, shared_bytes
from localfp4.models.weight_sizes import WeightSizes


@dataclass(frozen=True, slots=True)
class Roofline:
    """What one model takes on one device.

    All its weights count as lying on the device: those that lie beside it come over a bus that is
    slower than any limit here.

    Attributes:
        spec: The model.
        sizes: Its weights as they lie in memory.
        kv_dtype: Type of the KV cache.
        step_tokens: Most tokens in one step.
        products: What multiplies in each phase.
    """

    spec: DecoderSpec
    sizes: WeightSizes
    kv_dtype: str
    step_tokens: int
    products: Products

    def work(self, case: Case) -> Work:
        """Return what a case takes at least; a decode step half way through the answers.

        Tokens are expected to choose experts evenly and independently. Where a model's tokens
        agree on some, steps of several move less, and can be faster than their limit.
        """
        # Tokens that follow the first one of an answer see it, the prompt and what came before.
        context = case.depth + case.input_tokens + case.output_tokens // 2
        prompt = prefill_flops(self.spec, case.input_tokens, case.depth)
        return Work(
            prefill_bytes=prefill_bytes(
                self.spec,
                self.sizes,
                self.kv_dtype,
                case.input_tokens,
                case.batch,
                case.depth,
                step_tokens=self.step_tokens,
            ),
            prefill_flops=case.batch * prompt,
            prefill_peak=self.products.prefill,
            decode_bytes=decode_bytes(self.spec, self.sizes, self.kv_dtype, context, case.batch),
            decode_flops=decode_flops(self.spec, context, case.batch),
            decode_peak=self.products.decode,
            decode_shared_bytes=shared_bytes(self.sizes),
        )


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of a device's limits was reached, and which of them bind.

    100 is what no hardware exceeds but by the error of a measurement. ``None`` where nothing was
    decoded, or where the peak of the products was not measured.

    Attributes:
        decode_percent: The least time of the steps that follow the last prompt, of the time they
            took. Of a single request that is the least TPOT of the measured one. In a batch, TPOT
            is a mean over requests of which the first decode beside the prompts of others; here
            only steps count that do nothing but decode, and of as many sequences as are left on
            average, since those that are ahead end first.
        decode_bound: What the limit of those steps follows from.
        prefill_percent: The least time that all prompts of the batch take, of the time until every
            request had its first token.
        prefill_bound: What the limit of the prompts follows from.
    """

    decode_percent: float | None = None
    decode_bound: Bound | None = None
    prefill_percent: float | None = None
    prefill_bound: Bound | None = None


def shares(work: Work, case: Case, figures: Figures, limits: Limits) -> Shares:
    """Return how near a run of a case came to the limits of its device.

    Args:
        work: What the case takes at least.
        case: What was run.
        figures: What it took.
        limits: Of the device that ran it.
    """
    prefill_s = case.batch * case.input_tokens / figures.prefill_tokens_per_s
    decode_percent = decode_bound = prefill_percent = prefill_bound = None
    prompts = limits.least_s(work.prefill_bytes, work.prefill_flops, work.prefill_peak)
    if prompts is not None:
        least_s, prefill_bound = prompts
        prefill_percent = 100 * least_s / prefill_s
    if figures.decode_tokens_per_s is not None:
        decode_s = figures.seconds - prefill_s
        tokens = figures.decode_tokens_per_s * decode_s
        steps = _least_steps(case, figures, tokens)
        step = _least_step_s(work, limits, tokens / steps / case.batch)
        if step is not None:
            least_s, decode_bound = step
            decode_percent = 100 * steps * least_s / decode_s
    return Shares(decode_percent, decode_bound, prefill_percent, prefill_bound)


def _least_steps(case: Case, figures: Figures, tokens: float) -> float:
    """Return how many steps it takes at least to decode some tokens after the last prompt.

    The request of that prompt takes one for each further token, unless answers may end early.
    """
    generated = round(figures.output_tokens_per_s * figures.seconds)
    is_exact = generated == case.batch * case.output_tokens
    return max(tokens / case.batch, case.output_tokens - 1 if is_exact else 0)


def _least_step_s(work: Work, limits: Limits, share: float) -> tuple[float, Bound] | None:
    """Return how long a step of a share of the batch takes at least, and why.

    Every sequence brings its own keys and operations, and as many experts as when the step is full;
    in truth it then visits more that no other does. A step's least time is the larger of two that
    grow evenly with the share and is thus convex: steps of different sizes take no less than as
    many of their mean.
    """
    own_bytes = work.decode_bytes - work.decode_shared_bytes
    moved_bytes = work.decode_shared_bytes + share * own_bytes
    return limits.least_s(moved_bytes, share * work.decode_flops, work.decode_peak)
