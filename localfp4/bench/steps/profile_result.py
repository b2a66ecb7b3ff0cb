"""What a profile says; stdlib only."""

from dataclasses import dataclass

from localfp4.bench.workload import Case


@dataclass(frozen=True, slots=True)
class Operator:
    """What ran under one name in a step.

    Attributes:
        name: Of a kernel, or of an operator of torch.
        calls: Per step.
        us: Microseconds per step, without what it called.
    """

    name: str
    calls: float
    us: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a decode step of one case consists of, in microseconds.

    Attributes:
        case: What was run.
        steps: Steps that were measured, each time.
        step_us: A step with nothing watching it.
        phases: What the host did, by the name of :data:`localfp4.bench.steps.phases.PHASES`.
        profiled_us: A step while torch's profiler watched, which slows the host down.
        operators: What ran meanwhile: kernels on a GPU, else operators of torch.
        device_busy_us: Microseconds in which the GPU ran something; ``None`` on a CPU.
        device_idle_us: Microseconds in which it waited, between two kernels.
    """

    case: Case
    steps: int
    step_us: float
    phases: dict[str, float]
    profiled_us: float
    operators: tuple[Operator, ...]
    device_busy_us: float | None
    device_idle_us: float | None
