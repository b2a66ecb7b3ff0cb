"""Files of data sets on the hub, kept in the hub's own cache."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.store.hub_library import download_failures, without_progress_bars
from localfp4.errors import CalibrationError
from localfp4.quantize.calibration.files import READERS

PREFIX = "hub:"

_TIMEOUT_S = 20

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(
    rf"({_PART}/{_PART})(?:/([^@\s]+))?(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A data set on the hub.

    Attributes:
        repo_id: ``org/name``.
        file: Which of its files; ``None`` takes the smallest that is large enough.
        revision: A branch, tag or commit.
    """

    repo_id: str
    file: str | None = None
    revision: str | None = None

    @classmethod
    def named(cls, name: str) -> Self:
        """Return what ``org/dataset``, with ``/file`` and ``@revision`` where wanted, stands for.

        Raises:
            CalibrationError: It is no such name.
        """
        match = _NAME.fullmatch(name)
        if match is None or ".." in name:
            raise CalibrationError(
                f"'{PREFIX}{shown(name)}' names no data set; write hub:org/dataset, with /file and "
                "@revision where you want one."
            )
        return cls(match[1], match[2], match[3])

    def fetch(self, wanted_bytes: int) -> Path:
        """Return a file of the data set, downloading it where the cache lacks it.

        Args:
            wanted_bytes: How much text is wanted, which decides between files.

        Raises:
            CalibrationError: It cannot be had, or has no file that can be read.
        """
        from huggingface_hub import hf_hub_download

        try:
            name = self.file or self._chosen(wanted_bytes)
            with without_progress_bars():
                return Path(
                    hf_hub_download(self.repo_id, name, repo_type="dataset", revision=self.revision)
                )
        except download_failures() as error:
            raise CalibrationError(self._refusal(error)) from error

    def _chosen(self, wanted_bytes: int) -> str:
        """Return the smallest file for training with enough text, or else the largest one."""
        sizes = self._readable()
        if not sizes:
            raise CalibrationError(
                f"{self.repo_id} has no {', '.join(READERS)} file; name another data set."
            )
        training = {name: size for name, size in sizes.items() if "train" in name.lower()}
        files = sorted((training or sizes).items(), key=lambda one: (one[1], one[0]))
        enough = (name for name, size in files if size >= wanted_bytes)
        return next(enough, files[-1][0])

    def _readable(self) -> dict[str, int]:
        """Return the sizes of files that can be read; where the hub cannot be asked, of those here."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            info = HfApi().dataset_info(
                self.repo_id, revision=self.revision, files_metadata=True, timeout=_TIMEOUT_S
            )
            found = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        except HfHubHTTPError:
            raise
        except download_failures():
            found = self._in_cache()
        return {name: size for name, size in found.items() if Path(name).suffix in READERS}

    def _in_cache(self) -> dict[str, int]:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                self.repo_id, repo_type="dataset", revision=self.revision, local_files_only=True
            )
        )
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}

    def _refusal(self, error: BaseException) -> str:
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        match error:
            case GatedRepoError():
                return (
                    f"The data set {self.repo_id} is gated: accept its terms on the hub, then run "
                    "`hf auth login`."
                )
            case RepositoryNotFoundError():
                return (
                    f"There is no data set {self.repo_id} on the hub, or it is private: check the "
                    "name, or log in with `hf auth login`."
                )
            case RevisionNotFoundError():
                return f"The data set {self.repo_id} has no revision {shown(self.revision)}."
            case LocalEntryNotFoundError():
                pass
            case EntryNotFoundError():
                return f"The data set {self.repo_id} has no file {shown(self.file)}."
            case HfHubHTTPError():
                return (
                    f"The hub answered {error.response.status_code} for {self.repo_id}; "
                    "try again later."
                )
        return (
            f"The data set {self.repo_id} cannot be had now and is not in the local cache; check "
            "the connection, or leave --calibration out for the text that comes with the program."
        )
