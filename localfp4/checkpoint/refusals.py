"""Why a model could not be had from the hub, in one sentence each; torch-free."""

import errno

from localfp4.checkpoint.display import shown
from localfp4.errors import ModelNotFoundError


def refusal(repo_id: str, name: str, error: Exception) -> ModelNotFoundError:
    """Put a failed look-up or download into words.

    Args:
        repo_id: ``org/name``.
        name: The same as the user wrote it, with a revision.
        error: What huggingface_hub raised.
    """
    return ModelNotFoundError(_sentence(repo_id, name, _root(error)))


def _root(error: Exception) -> BaseException:
    """Unwrap the two errors that only say that the cache could not help either."""
    from huggingface_hub.errors import DryRunError, LocalEntryNotFoundError

    wrapped = isinstance(error, DryRunError | LocalEntryNotFoundError)
    return error.__cause__ or error if wrapped else error


def _sentence(repo_id: str, name: str, error: BaseException) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case GatedRepoError():
            return _gated(repo_id)
        case RepositoryNotFoundError():
            return (
                f"There is no model {repo_id} on the hub, or it is private: "
                "check the name, or log in with `hf auth login`."
            )
        case RevisionNotFoundError():
            return f"{repo_id} has no revision by that name: {name}."
        case HfHubHTTPError():
            return f"The hub answered {error.response.status_code} for {name}; try again later."
        case OfflineModeIsEnabled():
            return (
                f"{name} is not in the local cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE "
                "forbids downloading it; unset it, or try demo, the bundled model."
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return (
                f"The disk of {shown(constants.HF_HUB_CACHE)} filled up while {name} was "
                "downloaded; make room, or set HF_HOME to another disk."
            )
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS):
            return (
                f"{shown(constants.HF_HUB_CACHE)} cannot be written, so {name} cannot be "
                "downloaded; set HF_HOME to a folder of yours."
            )
        case ConnectionError() | TimeoutError():
            return _unreachable(name)
        case OSError() | RuntimeError():
            return f"Downloading {name} failed: {_first_line(error)}; try again."
        case _:  # the HTTP library's own errors: no route, no name, no answer in time
            return _unreachable(name)


def _unreachable(name: str) -> str:
    from huggingface_hub import constants

    return (
        f"{shown(constants.ENDPOINT)} cannot be reached, and {name} is not in the local cache; "
        "check the connection, or try demo, the bundled model."
    )


def _gated(repo_id: str) -> str:
    from huggingface_hub import constants, get_token

    page = f"{constants.ENDPOINT}/{repo_id}"
    if get_token() is None:
        return f"{repo_id} is gated: accept its licence at {page}, then run `hf auth login`."
    return f"{repo_id} is gated, and your token has no access: accept its licence at {page}."


def _first_line(error: BaseException) -> str:
    return shown(str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__)
