"""Imports torch, and computes on each GPU that models can run on: the script is run, never imported."""

import json
import warnings
from typing import Any

from localfp4.doctor.probes import MARK
from localfp4.doctor.versions import is_usable


def main() -> None:
    """Print what torch says about itself; an import that fails ends with its traceback."""
    warnings.simplefilter("ignore")  # what they tell comes as an error, too
    import torch

    answer: dict[str, Any] = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda or "",
        "arch_list": _arch_list(),
        "gpus": 0,
        "error": "",
    }
    if torch.version.cuda:
        try:
            torch.cuda.init()
            answer["gpus"] = torch.cuda.device_count()
            for index in range(answer["gpus"]):
                major, minor = torch.cuda.get_device_capability(index)
                # torch has no code for many an older card, which must not speak for the others.
                if is_usable(major * 10 + minor):
                    torch.ones(2, device=f"cuda:{index}").add(1).sum().item()
        except Exception as error:  # noqa: BLE001 - of whatever kind, it is what is asked for
            answer["error"] = _first_line(error)
    print(MARK + json.dumps(answer))  # noqa: T201 - read by the process that runs this


def _arch_list() -> list[str]:
    """Return what torch has machine code for.

    ``torch.cuda.get_arch_list`` is empty where the driver does not work, so what is below it is asked.
    """
    import torch

    flags = getattr(torch._C, "_cuda_getArchFlags", None)
    return (flags() or "").split() if flags else []


def _first_line(error: Exception) -> str:
    """Return an error without the advice on debugging that CUDA's errors come with."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


if __name__ == "__main__":
    main()
