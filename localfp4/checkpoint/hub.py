"""From what the user calls a model to a folder on this machine; torch-free.

Knows folders, the bundled demo, the hub's repositories and the names of synthetic models; how each may
be spelled stands in ``names``. Knows nothing of what a checkpoint holds beyond file names.
huggingface_hub is imported only once a repository is to be had, or a name to be guessed.
"""

import importlib.util
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.addresses import Address, address_of
from localfp4.checkpoint.names.aliases import alias_named
from localfp4.checkpoint.names.endpoint import hub_address
from localfp4.checkpoint.names.folders import about_missing, folder_meant, is_path
from localfp4.checkpoint.names.formats import about_file, foreign_format, of_foreign_format
from localfp4.checkpoint.names.guesses import hint
from localfp4.checkpoint.names.spelling import cleaned
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.store.snapshot import HubModel, cached, fetch
from localfp4.checkpoint.synthetic.model import PREFIX, SyntheticModel, synthetic_model
from localfp4.errors import ModelNotFoundError, UnsupportedModelError
from localfp4.messages import LoadProgress

Local = Path | SyntheticModel
"""Where a model comes from that is here: a folder, or shapes without weights."""

Source = Local | Outline
"""Where what is known of a model comes from: it may be headers of files that are on the hub."""

DEMO = "demo"
DEMO_PACKAGE = "localfp4_demo"


@dataclass(frozen=True, slots=True)
class Recognised:
    """A model that was named, whether or not it is here.

    Attributes:
        name: What to call it from now on: a short name, ``org/name[@revision]`` or a path.
        found: Where it is.
    """

    name: str
    found: Local | HubModel


def resolve(model: str) -> Local:
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
            source: Local = end.value
            return source


def download(model: str) -> Generator[LoadProgress, None, Local]:
    """Do what :func:`resolve` does, yielding progress at least once a second on the way.

    Raises:
        ModelNotFoundError: There is no such model, or it cannot be had now.
        UnsupportedModelError: It is a file, or a repository, without safetensors weights.
    """
    found = locate(model)
    return (yield from fetch(found)) if isinstance(found, HubModel) else found


def find(model: str) -> Local:
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
            f"{found.name} is not on this computer yet; `localfp4 pull {found.name}` downloads it."
        )
    return folder


def locate(model: str) -> Local | HubModel:
    """Tell a folder on this machine from a hub id, without asking the network.

    Raises:
        ModelNotFoundError: It is neither, nor a synthetic model.
        UnsupportedModelError: It is a file, or of a format that cannot be read.
    """
    return recognise(model).found


def recognise(model: str, own: Iterable[str] = ()) -> Recognised:
    """Return what a name means, however it is spelled, without asking the network.

    Args:
        model: What the user typed or pasted.
        own: Names of the user's own for models, any of which may have been meant.

    Raises:
        ModelNotFoundError: It means nothing; the message says what was probably meant.
        UnsupportedModelError: It is a file, or of a format that cannot be read.
    """
    if model.startswith(PREFIX):
        return Recognised(model, synthetic_model(model.removeprefix(PREFIX)))
    name = cleaned(model)
    if not name or "\0" in name:
        raise ModelNotFoundError("No model was named; try demo, the bundled model.")
    if name == DEMO or (name.lower() == DEMO and folder_meant(name) is None):
        return Recognised(DEMO, _demo_folder())
    for spelling in dict.fromkeys((model, name)):
        if (folder := folder_meant(spelling)) is not None:
            return Recognised(_called(spelling, folder), folder)
    if (known := _on_the_hub(name)) is not None:
        return known
    raise ModelNotFoundError(_not_found(name, own))


def _on_the_hub(name: str) -> Recognised | None:
    """Return the repository that a name means, by a short name or an address.

    Raises:
        ModelNotFoundError: It is the address of something else.
        UnsupportedModelError: It is a file, or of a format that cannot be read.
    """
    short, at, revision = name.partition("@")
    alias = alias_named(short)
    full = f"{alias.repo_id}{at}{revision}" if alias else name
    address = None if is_path(full) else address_of(full, hub_address())
    if not _is_shard(full, address) and (advice := about_file(full)):
        raise UnsupportedModelError(advice)
    if address is None:
        return None
    if foreign_format(address.repo_id):
        raise UnsupportedModelError(of_foreign_format(address.repo_id))
    found = HubModel(address.repo_id, address.revision)
    return Recognised(f"{alias.name}{at}{revision}" if alias else found.name, found)


def _is_shard(name: str, address: Address | None) -> bool:
    """Say whether a name leads to a file of a repository that means all of it."""
    suffix = ".safetensors"
    return address is not None and name.endswith(suffix) and not address.repo_id.endswith(suffix)


def _called(name: str, folder: Path) -> str:
    """Return how to call a folder: as the user does, unless that is something in it."""
    return name if Path(expanduser(name)) == folder else str(folder.absolute())


def _demo_folder() -> Path:
    """Find the demo beside the installed package, or in a checkout that is not installed."""
    spec = importlib.util.find_spec(DEMO_PACKAGE)
    installed = list(spec.submodule_search_locations or ()) if spec else []
    checkout = Path(__file__).parents[2] / "assets" / "demo" / DEMO_PACKAGE
    for folder in (*map(Path, installed), checkout):
        if (folder / "config.json").is_file():
            return folder
    raise ModelNotFoundError("This installation lacks the demo model; install localfp4 again.")


def _not_found(name: str, own: Iterable[str]) -> str:
    if is_path(name):
        return about_missing(name)
    guess = hint(name, (*own, DEMO)) or "Try demo, the bundled model."
    return (
        f"Model '{shown(name)}' was not found: no such folder, and model ids look like "
        f"org/name. {guess}"
    )
