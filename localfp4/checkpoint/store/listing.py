"""What files a model has on the hub, with their sizes and hashes; torch-free."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from localfp4.checkpoint.store.connection import (
    PATIENT,
    Patience,
    asked_patiently,
    is_unreachable,
    shown_endpoint,
)
from localfp4.checkpoint.store.digest import Digest
from localfp4.checkpoint.store.wanted import HubModel, is_commit, is_wanted


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the hub.

    Attributes:
        name: Without a folder.
        size_bytes: Of its content.
        digest: Of its content; also the name of its blob in the cache.
    """

    name: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model that localfp4 reads.

    Attributes:
        commit: The version that the model's revision is now.
        files: By name.
        others: Names of the files that are not read.
        is_gated: Whether a licence has to be accepted first.
    """

    commit: str
    files: tuple[RemoteFile, ...]
    others: tuple[str, ...]
    is_gated: bool


def listing(model: HubModel, patience: Patience = PATIENT) -> Listing:
    """Ask the hub what files a model has.

    Without any connection there is no second attempt: the cache may have the model.

    Raises:
        OSError: What answers is not a hub, or its answer makes no sense.
        huggingface_hub.errors.HfHubHTTPError: It refuses; the other errors of
            :func:`localfp4.checkpoint.store.snapshot.download_failures` tell of the connection.
    """
    return asked_patiently(partial(_asked, model), patience, is_final=is_unreachable)


def _asked(model: HubModel) -> Listing:
    from huggingface_hub import HfApi, constants

    try:
        info = HfApi().model_info(
            model.repo_id,
            revision=model.revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        siblings = list(info.siblings or ())
        commit = str(info.sha)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError):  # one of huggingface_hub's is both
            raise
        raise OSError(f"{shown_endpoint()} does not answer as a hub does") from error
    if not is_commit(commit):
        raise OSError(f"{shown_endpoint()} does not tell which version {model.name} is")
    files = [
        _file(model.repo_id, commit, sibling)
        for sibling in siblings
        if is_wanted(sibling.rfilename)
    ]
    return Listing(
        commit,
        tuple(sorted(files, key=lambda file: file.name)),
        tuple(s.rfilename for s in siblings if not is_wanted(s.rfilename)),
        bool(info.gated),
    )


def _file(repo_id: str, commit: str, sibling: Any) -> RemoteFile:
    size, digest = sibling.size, sibling.blob_id
    if sibling.lfs is not None:
        size, digest = sibling.lfs.size, sibling.lfs.sha256
    if not isinstance(size, int) or size < 0 or not Digest(str(digest)).is_known:
        size, digest = _asked_alone(repo_id, commit, sibling.rfilename)
    return RemoteFile(sibling.rfilename, size, Digest(digest))


def _asked_alone(repo_id: str, commit: str, name: str) -> tuple[int, str]:
    """Ask for one file: some mirrors list files without their sizes and hashes."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    told = get_hf_file_metadata(
        hf_hub_url(repo_id, name, revision=commit), timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    if told.size is None or told.etag is None or not Digest(told.etag).is_known:
        raise OSError(f"{shown_endpoint()} does not tell the size and the hash of {name}")
    return told.size, told.etag
