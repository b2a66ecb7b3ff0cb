"""Environment variables that change what this program does, and what of them may be shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable.

    Attributes:
        name: Its name.
        help: What it is for, in a line.
        is_secret: Whether its value is nobody's business.
    """

    name: str
    help: str
    is_secret: bool = False

    def shown(self, environment: Mapping[str, str]) -> str | None:
        """Return its value without what is secret; ``None`` where it is not set."""
        value = environment.get(self.name)
        if not value:
            return None
        return "set" if self.is_secret else _IN_ADDRESS.sub("…@", value)


VARIABLES = (
    Variable("LOCALFP4_CONFIG", "Another configuration file."),
    Variable("LOCALFP4_API_KEY", "The key of localfp4 serve, and for servers of this computer.", is_secret=True),
    Variable("LOCALFP4_DEBUG", "1 prints the traceback of a bug."),
    Variable("OPENAI_API_KEY", "The key for OpenAI itself, with --base-url.", is_secret=True),
    Variable("HF_TOKEN", "Token of the Hugging Face hub; hf auth login keeps one instead.", is_secret=True),
    Variable("HF_HOME", "Where the hub's cache and token are."),
    Variable("HF_HUB_CACHE", "Where the hub's cache is."),
    Variable("HF_ENDPOINT", "Another hub."),
    Variable("HF_HUB_OFFLINE", "1 takes only what is on this computer."),
    Variable("HTTPS_PROXY", "A proxy between this computer and the hub."),
    Variable("CUDA_VISIBLE_DEVICES", "Which GPUs programs see."),
    Variable("CUDA_DEVICE_ORDER", "How they are counted."),
    Variable("TRITON_CACHE_DIR", "Where compiled kernels are kept."),
    Variable("TRITON_INTERPRET", "1 runs Triton's kernels on the CPU, slowly."),
    Variable("CC", "The C compiler that Triton takes."),
    Variable("VISUAL", "The editor of localfp4 config edit."),
    Variable("EDITOR", "Likewise, where VISUAL is not set."),
)  # fmt: skip
