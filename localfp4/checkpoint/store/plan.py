"""What a download would bring, before it is begun; torch-free."""

import logging
from dataclasses import dataclass

from localfp4.checkpoint.store.connection import PATIENT, Patience
from localfp4.checkpoint.store.hub_library import download_failures
from localfp4.checkpoint.store.listing import Listing, RemoteFile, listing
from localfp4.checkpoint.store.place import Place, place_of
from localfp4.checkpoint.store.refusals import refusal
from localfp4.checkpoint.store.wanted import HubModel, is_weights
from localfp4.errors import UnsupportedModelError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that localfp4 reads.

    Attributes:
        remote: As the hub lists it.
        is_here: Whether the cache has all of it.
        arrived_bytes: What the cache has of it.
    """

    remote: RemoteFile
    is_here: bool
    arrived_bytes: int

    @property
    def name(self) -> str:
        """Without a folder."""
        return self.remote.name

    @property
    def size_bytes(self) -> int:
        """Of all of it."""
        return self.remote.size_bytes


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What a model consists of, and what of it is here.

    Attributes:
        model: Which.
        revision: The commit that its revision is now.
        files: Small ones first, then the weights.
    """

    model: HubModel
    revision: str
    files: tuple[PlannedFile, ...]

    @property
    def place(self) -> Place:
        """Where the files are, or will be."""
        return place_of(self.model.repo_id, self.revision)

    @property
    def arrived_bytes(self) -> int:
        """What is here at this moment, of all files."""
        return sum(self.place.arrived_bytes(file.remote) for file in self.files)

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """What was yet to arrive when the plan was made."""
        return sum(file.size_bytes - file.arrived_bytes for file in self.files)


def download_plan(model: HubModel, patience: Patience = PATIENT) -> DownloadPlan:
    """Ask the hub what a model consists of, and look up what is here.

    Raises:
        ModelNotFoundError: The hub cannot be asked, or would not hand out the files.
        UnsupportedModelError: The repository has no weights that localfp4 reads.
    """
    try:
        listed = listing(model, patience)
        plan = _compared(model, listed)
        if listed.is_gated and not all(file.is_here for file in plan.files):
            _ask_for(plan.files[0], plan)
    except download_failures() as error:
        raise refusal(model.repo_id, model.name, error) from error
    _refuse_without_weights(model, listed)
    _log.info(
        "%s is %s: %d files, %d bytes, of which %d are missing",
        model.name,
        plan.revision,
        len(plan.files),
        plan.total_bytes,
        plan.missing_bytes,
    )
    return plan


def _compared(model: HubModel, listed: Listing) -> DownloadPlan:
    place = place_of(model.repo_id, listed.commit)
    in_order = sorted(listed.files, key=lambda remote: is_weights(remote.name))
    files = (
        PlannedFile(remote, place.has(remote), place.arrived_bytes(remote)) for remote in in_order
    )
    return DownloadPlan(model, listed.commit, tuple(files))


def _refuse_without_weights(model: HubModel, listed: Listing) -> None:
    if any(is_weights(file.name) for file in listed.files):
        return
    if any(name.lower().endswith(".gguf") for name in listed.others):
        raise UnsupportedModelError(
            f"{model.name} has GGUF weights, and localfp4 reads safetensors; "
            "look for an NVFP4 version of the model."
        )
    raise UnsupportedModelError(
        f"{model.name} has no safetensors weights, the only ones localfp4 reads; "
        "look for another version of the model."
    )


def _ask_for(file: PlannedFile, plan: DownloadPlan) -> None:
    """Find out whether the licence was accepted: anybody may list a gated model's files.

    Raises:
        huggingface_hub.errors.GatedRepoError: It was not.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(plan.model.repo_id, file.name, revision=plan.revision)
    get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
