"""Files and repositories whose very names tell that localfp4 cannot read them; stdlib only."""

import re

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.aliases import alias_within

_OF_WORDS = {
    "gguf": "GGUF",
    "ggml": "GGML",
    "imatrix": "GGUF",
    "mlx": "MLX",
    "exl2": "EXL2",
    "exl3": "EXL3",
    "onnx": "ONNX",
    "openvino": "OpenVINO",
    "coreml": "Core ML",
    "litert": "LiteRT",
    "tflite": "LiteRT",
    "bnb": "bitsandbytes",
}
_PICKLES = "localfp4 does not load pickles; pick a safetensors version of the model"
_OF_SUFFIXES = {
    ".bin": _PICKLES,
    ".pt": _PICKLES,
    ".pth": _PICKLES,
    ".ckpt": _PICKLES,
    ".safetensors": "name the folder that holds it, with its config.json",
}
_WORDS = re.compile(r"[^a-z0-9]+")


def foreign_format(repo_id: str) -> str:
    """Return the format of a repository that says so in its name; empty for one that may be read.

    Args:
        repo_id: ``org/name``.
    """
    words = _WORDS.split(repo_id.lower())
    return next((_OF_WORDS[word] for word in words if word in _OF_WORDS), "")


def of_foreign_format(repo_id: str) -> str:
    """Return the sentence about a repository of such a format: what to take instead."""
    return (
        f"{repo_id} holds {foreign_format(repo_id)} files by its name, and localfp4 reads "
        f"safetensors; {_instead(repo_id)}."
    )


def about_file(name: str) -> str:
    """Return the sentence about a file of weights that cannot be loaded; empty for other names."""
    suffix = name[name.rfind(".") :].lower()
    if suffix == ".gguf":
        return f"{shown(name)} is a file: localfp4 reads safetensors, not GGUF; {_instead(name)}."
    advice = _OF_SUFFIXES.get(suffix)
    return f"{shown(name)} is a file: {advice}." if advice else ""


def _instead(name: str) -> str:
    tail = name.replace("\\", "/").rpartition("/")[2]
    alias = alias_within(re.sub(r"\.gguf$", "", tail, flags=re.IGNORECASE))
    if alias is None:
        return "name the hub id of the model itself"
    return f"take {alias.name} ({alias.repo_id}) instead"
