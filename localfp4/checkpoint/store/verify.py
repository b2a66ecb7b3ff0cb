"""Compares files of the cache with the hashes that the hub lists; torch-free."""

from collections.abc import Generator

from localfp4.checkpoint.store.digest import BLOCK_BYTES
from localfp4.checkpoint.store.plan import DownloadPlan, PlannedFile
from localfp4.errors import CheckpointError
from localfp4.messages import LoadProgress

_TELL_BYTES = 64 * BLOCK_BYTES


def damaged_files(
    plan: DownloadPlan,
) -> Generator[LoadProgress, None, tuple[PlannedFile, ...]]:
    """Read every file that is here, yielding progress, and return those that have another hash.

    Raises:
        CheckpointError: One cannot be read: the disk fails, or it belongs to somebody else.
    """
    here = [file for file in plan.files if file.is_here]
    total = sum(file.size_bytes for file in here)
    damaged, before = [], 0
    for file in here:
        digest = yield from _read(plan, file, before, total)
        if digest != file.remote.digest.hexadecimal:
            damaged.append(file)
        before += file.size_bytes
    return tuple(damaged)


def without(plan: DownloadPlan, damaged: tuple[PlannedFile, ...]) -> DownloadPlan:
    """Take files away, and return the plan that fetches them again.

    Raises:
        CheckpointError: One cannot be deleted.
    """
    for file in damaged:
        try:
            plan.place.forget(file.remote)
        except OSError as error:
            raise CheckpointError(
                f"{plan.place.file(file.remote)} is damaged and cannot be deleted: "
                f"{error.strerror}; end what has it open, and try again."
            ) from error
    files = tuple(
        PlannedFile(file.remote, is_here=False, arrived_bytes=0) if file in damaged else file
        for file in plan.files
    )
    return DownloadPlan(plan.model, plan.revision, files)


def _read(
    plan: DownloadPlan, file: PlannedFile, before: int, total: int
) -> Generator[LoadProgress, None, str]:
    path, done = plan.place.file(file.remote), 0
    hashed = file.remote.digest.started(file.size_bytes)
    try:
        with path.open("rb", buffering=0) as opened:
            while block := opened.read(BLOCK_BYTES):
                if done % _TELL_BYTES == 0:
                    yield LoadProgress(f"Checking {plan.model.name}", before + done, total)
                hashed.update(block)
                done += len(block)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    return hashed.hexdigest()
