"""localfp4: chat with 4-bit models on your own PC.

``LLM``, ``SamplingParams``, ``Constraint`` and ``Completion`` are loaded on first use, so that importing the
package costs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localfp4.config import SamplingParams
    from localfp4.llm import LLM
    from localfp4.messages import Completion, Constraint

__version__ = "0.1.0"
__all__ = ["LLM", "Completion", "Constraint", "SamplingParams", "__version__"]

_HOME = {
    "LLM": "localfp4.llm",
    "SamplingParams": "localfp4.config",
    "Completion": "localfp4.messages",
    "Constraint": "localfp4.messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'localfp4' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
