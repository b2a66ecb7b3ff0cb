"""From what the user calls a model to a folder on this machine; torch-free.

Knows folders, the bundled demo, hub ids, short names for some of them, the hub's cache, and the
names of synthetic models. Knows nothing of what a checkpoint holds beyond file names.
huggingface_hub is imported only once a hub id is to be resolved.
"""

import difflib
import importlib.util
import re
from collections.abc import Generator
from os.path import expanduser
from pathlib import Path

from localfp4.checkpoint.aliases import alias_named, similar_alias
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.snapshot import HubModel, cached, fetch
from localfp4.checkpoint.synthetic.model import PREFIX, SyntheticModel, synthetic_model
from localfp4.errors import ModelNotFoundError, UnsupportedModelError
from localfp4.messages import LoadProgress

Source = Path | SyntheticModel
"""Where a model comes from that needs no network: a folder, or shapes without weights."""

DEMO = "demo"
DEMO_PACKAGE = "localfp4_demo"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?", re.ASCII)
_FILE_ADVICE = {
    ".gguf": "localfp4 reads safetensors, not GGUF; name the hub id of the model itself",
    ".bin": "localfp4 does not load pickles; pick a safetensors version of the model",
    ".pt": "localfp4 does not load pickles; pick a safetensors version of the model",
    ".pth": "localfp4 does not load pickles; pick a safetensors version of the model",
    ".ckpt": "localfp4 does not load pickles; pick a safetensors version of the model",
    ".safetensors": "name the folder that holds it, with its config.json",
}


def resolve(model: str) -> Source:
    """Return where a model is, downloading it first where that is needed.

    Args:
        model: ``demo``, a folder, a hub id ``org/name`` with an optional ``@revision``, a short
            name such as ``qwen3:8b``, or ``synthetic:NAME`` with an optional ``:LAYERS``
            and ``@bf16``.

    Raises:
        ModelNotFoundError: There is no such model, or it cannot be had now.
        UnsupportedModelError: It is a file, or a repository, without safetensors weights.
    """
    steps = download(model)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            source: Source = end.value
            return source


def download(model: str) -> Generator[LoadProgress, None, Source]:
    """Do what :func:`resolve` does, yielding progress at least once a second on the way.

    Raises:
        ModelNotFoundError: There is no such model, or it cannot be had now.
        UnsupportedModelError: It is a file, or a repository, without safetensors weights.
    """
    found = locate(model)
    return (yield from fetch(found)) if isinstance(found, HubModel) else found


def find(model: str) -> Source:
    """Return where a model is that needs no download, without asking the network.

    Raises:
        ModelNotFoundError: It is not.
        UnsupportedModelError: It is a file.
    """
    found = locate(model)
    if not isinstance(found, HubModel):
        return found
    folder = cached(found)
    if folder is None:
        raise ModelNotFoundError(
            f"{found.name} is not on this computer yet; `localfp4 chat {found.name}` downloads it."
        )
    return folder


def locate(model: str) -> Source | HubModel:
    """Tell a folder on this machine from a hub id, without asking the network.

    Raises:
        ModelNotFoundError: It is neither, nor a synthetic model.
        UnsupportedModelError: It is a file.
    """
    if model.startswith(PREFIX):
        return synthetic_model(model.removeprefix(PREFIX))
    if model == DEMO:
        return _demo_folder()
    if not model.strip() or "\0" in model:
        raise ModelNotFoundError("No model was named; try demo, the bundled model.")
    path = Path(expanduser(model))
    if _is_dir(path):
        return path
    if (alias := alias_named(model)) is not None:
        return HubModel(alias.repo_id)
    if advice := _FILE_ADVICE.get(path.suffix.lower()):
        raise UnsupportedModelError(f"{shown(model)} is a file: {advice}.")
    match = _HUB_ID.fullmatch(model)
    if match is None or any(bad in model for bad in ("..", "--", "//")):
        raise ModelNotFoundError(_not_found(model, path))
    return HubModel(match[1], match[2])


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _demo_folder() -> Path:
    """Find the demo beside the installed package, or in a checkout that is not installed."""
    spec = importlib.util.find_spec(DEMO_PACKAGE)
    installed = list(spec.submodule_search_locations or ()) if spec else []
    checkout = Path(__file__).parents[2] / "assets" / "demo" / DEMO_PACKAGE
    for folder in (*map(Path, installed), checkout):
        if (folder / "config.json").is_file():
            return folder
    raise ModelNotFoundError("This installation lacks the demo model; install localfp4 again.")


def _not_found(model: str, path: Path) -> str:
    similar = similar_alias(model) or _similar_folder(model, path)
    hint = f"Did you mean {shown(similar)}?" if similar else "Try demo, the bundled model."
    return (
        f"Model '{shown(model)}' was not found: no such folder, and model ids look like "
        f"org/name. {hint}"
    )


def _similar_folder(model: str, path: Path) -> Path | str | None:
    if difflib.get_close_matches(model.lower(), [DEMO], cutoff=0.7):
        return DEMO
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except (OSError, ValueError):
        return None
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return path.parent / close[0] if close else None
