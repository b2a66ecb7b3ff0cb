"""What has to be known to repeat what was measured, in words."""

from localfp4.bench.peaks import Limits
from localfp4.documents.machine import gib, machine
from localfp4.documents.markdown import WIDTH, broken, one_line, short
from localfp4.messages import ModelInfo
from localfp4.telemetry.environment import Environment


def model_heading(
    environment: Environment, model: ModelInfo, limits: Limits, method: str
) -> list[str]:
    """Return lines that say what was measured, where, with what and how."""
    facts = [
        [f"**{one_line(model.name)}**", model.weight_format, model.kernel_path, model.dtype],
        *machine(environment),
        f"measured limits: {limits.in_words()}".split(", "),
        [f"loaded in {short(model.load_s)} s", f"weights {gib(model.weight_bytes)}", method],
    ]
    return [*(line for parts in facts for line in broken(parts, WIDTH)), ""]
