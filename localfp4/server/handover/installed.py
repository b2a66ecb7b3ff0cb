"""Where vLLM is, or what to install."""

import shutil
import sys
from pathlib import Path

from localfp4.errors import UserError
from localfp4.server.handover.command import Spread


def find_vllm() -> str:
    """Return the path of vLLM's command: beside this Python, or on the search path.

    Raises:
        UserError: It is not installed; the message says how to.
    """
    beside = shutil.which("vllm", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("vllm")
    if found is None:
        raise UserError(_how_to_install(sys.platform))
    return found


def ray_hint(spread: Spread) -> str:
    """Say what has to run on several computers before vLLM is started; empty for one."""
    if not spread.needs_others:
        return ""
    return (
        f"{spread.gpus} GPUs are asked for, and {spread.gpus_here} are here: vLLM takes the others "
        "from a Ray cluster. Start it with `ray start --head --port=6379` here and `ray start "
        "--address=THIS-COMPUTER:6379` on each of the others, with the same vLLM and the same "
        "model on all of them."
    )


def require_ray(spread: Spread) -> None:
    """Make sure that several computers can be used.

    Raises:
        UserError: Ray is not installed.
    """
    if spread.needs_others and not _has_ray():
        raise UserError(
            f"{spread.gpus} GPUs are asked for, and {spread.gpus_here} are here: for those of other "
            "computers vLLM needs Ray, which is not installed; `pip install ray` beside vLLM, on "
            "all of them."
        )


def _has_ray() -> bool:
    folders = {Path(sys.executable).parent, Path(find_vllm()).resolve().parent}
    return any(shutil.which("ray", path=str(folder)) for folder in folders) or bool(
        shutil.which("ray")
    )


def _how_to_install(platform: str) -> str:
    if platform != "linux":
        where = "inside WSL 2" if platform == "win32" else "on a computer with Linux"
        return f"vLLM runs on Linux: install it {where}, or serve without --engine vllm."
    return (
        "vLLM is not installed: `pipx install vllm` (or `uv tool install vllm`) puts it on the "
        "search path with a torch of its own; --dry-run shows the command without it."
    )
