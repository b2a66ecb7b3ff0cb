"""What ``localfp4 pull`` prints: the files of a plan, and what was downloaded."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localfp4.checkpoint.display import size
from localfp4.checkpoint.store.plan import DownloadPlan, PlannedFile
from localfp4.telemetry.cpu import usable_cores
from localfp4.telemetry.environment import environment


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model after it was dealt with.

    Attributes:
        name: As the user called it.
        plan: As it was before.
        folder: Where the model is; ``None`` where nothing was downloaded.
        damaged: Files that were fetched again, since they had another hash.
    """

    name: str
    plan: DownloadPlan
    folder: Path | None = None
    damaged: tuple[PlannedFile, ...] = ()


def lines(pulled: Pulled, *, was_verified: bool) -> list[str]:
    """Return what is told of a model: that it is here, or what would be downloaded."""
    if pulled.folder is None:
        return _plan_lines(pulled.name, pulled.plan)
    what = f"{pulled.name} is here, {size(pulled.plan.total_bytes)} in {_files(pulled.plan)}"
    if pulled.damaged:
        names = ", ".join(file.name for file in pulled.damaged)
        return [f"{what}; {names} had been damaged and came anew."]
    if was_verified:
        return [f"{what}, each as the hub lists it."]
    return [f"{what}; `localfp4 chat {pulled.name}` talks with it."]


def _plan_lines(name: str, plan: DownloadPlan) -> list[str]:
    width = max(len(file.name) for file in plan.files)
    files = [
        f"  {file.name:<{width}}  {size(file.size_bytes):>8}  {_state(file)}".rstrip()
        for file in plan.files
    ]
    head = f"{name}: {plan.model.repo_id} at {plan.revision[:8]}"
    return [head, *files, f"  {_files(plan)}, {_totals(plan)}"]


def _files(plan: DownloadPlan) -> str:
    count = len(plan.files)
    return "1 file" if count == 1 else f"{count} files"


def as_object(all_pulled: list[Pulled]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "environment": asdict(environment(usable_cores())),
        "rows": [
            {
                "name": pulled.name,
                "repo_id": pulled.plan.model.repo_id,
                "revision": pulled.plan.revision,
                "folder": None if pulled.folder is None else str(pulled.folder),
                "total_bytes": pulled.plan.total_bytes,
                "missing_bytes": pulled.plan.missing_bytes,
                "files": [_file_object(file, pulled) for file in pulled.plan.files],
            }
            for pulled in all_pulled
        ],
    }


def _file_object(file: PlannedFile, pulled: Pulled) -> dict[str, Any]:
    digest = file.remote.digest
    return {
        "name": file.name,
        "size_bytes": file.size_bytes,
        "arrived_bytes": file.arrived_bytes,
        "was_here": file.is_here,
        "was_damaged": file in pulled.damaged,
        "sha256": digest.hexadecimal if digest.is_sha256 else None,
        "git_sha1": None if digest.is_sha256 else digest.hexadecimal,
    }


def _state(file: PlannedFile) -> str:
    if file.is_here:
        return "is here"
    return f"{size(file.arrived_bytes)} of it here" if file.arrived_bytes else ""


def _totals(plan: DownloadPlan) -> str:
    total, missing = size(plan.total_bytes), size(plan.missing_bytes)
    if not plan.missing_bytes:
        return f"{total}, all of it here"
    if plan.missing_bytes == plan.total_bytes:
        return f"{total} to download"
    return f"{total}, {missing} of it to download"
