"""Short names for models that people ask for, as 4-bit checkpoints that their makers publish.

A name stands here only if its repository was seen: on its own page, or in use by several programs
that load it. Sizes are those of a repository's list of files, as far as that rounds them; where it
was not seen there is none, and the hub tells it when the download begins. Last looked at on
2026-11-21.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name and what it stands for.

    Attributes:
        name: The short name, in lower case.
        repo_id: ``org/name`` on the hub.
        size_bytes: Of its weights, or ``None`` where that is not known.
    """

    name: str
    repo_id: str
    size_bytes: int | None = None


ALIASES = (
    Alias("qwen3:8b", "nvidia/Qwen3-8B-NVFP4", 6_396_932_352),
    Alias("qwen3:14b", "nvidia/Qwen3-14B-NVFP4"),
    Alias("qwen3:30b-a3b", "nvidia/Qwen3-30B-A3B-NVFP4"),
    Alias("qwen3:32b", "nvidia/Qwen3-32B-NVFP4"),
    Alias("qwen3.5:9b", "RedHatAI/Qwen3.5-9B-NVFP4"),
    Alias("qwen3.6:27b", "nvidia/Qwen3.6-27B-NVFP4"),
    Alias("qwen3.6:35b-a3b", "nvidia/Qwen3.6-35B-A3B-NVFP4"),
    Alias("qwen3.8:27b", "nvidia/Qwen3.8-27B-NVFP4"),
    Alias("gemma4:12b", "RedHatAI/gemma-4-12B-it-NVFP4"),
    Alias("gemma4:26b-a4b", "nvidia/Gemma-4-26B-A4B-NVFP4", 18_800_000_000),
    Alias("gpt-oss:20b", "openai/gpt-oss-20b", 13_760_000_000),
    Alias("llama3.1:8b", "nvidia/Llama-3.1-8B-Instruct-NVFP4"),
    Alias("phi4-reasoning:14b", "nvidia/Phi-4-reasoning-plus-NVFP4"),
    Alias("nemotron3-nano:30b-a3b", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4"),
)

_BY_NAME = {alias.name: alias for alias in ALIASES}
_BY_REPO = {alias.repo_id: alias for alias in ALIASES}


def alias_named(name: str) -> Alias | None:
    """Return what a short name stands for, however it is capitalised."""
    return _BY_NAME.get(name.lower())


def alias_of(repo_id: str) -> Alias | None:
    """Return the short name of a repository, if it has one."""
    return _BY_REPO.get(repo_id)


def similar_alias(name: str) -> str | None:
    """Return the short name that was probably meant; the first of a family for its bare name."""
    wanted = name.lower()
    family = next((one for one in _BY_NAME if one.partition(":")[0] == wanted), None)
    close = difflib.get_close_matches(wanted, _BY_NAME, n=1, cutoff=0.7)
    return family or (close[0] if close else None)
