"""Why a model could not be had from the hub, in one sentence each; torch-free."""

import errno
import os
import sys

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.guesses import hint_on_repository
from localfp4.checkpoint.store.connection import (
    asked_pause_s,
    http_error,
    is_untrusted,
    shown_endpoint,
)
from localfp4.errors import ModelNotFoundError
from localfp4.logs import redacted

_TOO_MANY = 429
_HELD_OPEN = (32, 33)
"""Windows' numbers of a sharing violation and of a locked part of a file."""

_LONGEST_ON_WINDOWS = 248
"""Characters of a folder's path, without a file of 8.3 in it; learn.microsoft.com, "Maximum Path
Length Limitation"."""

_BAD_TOKEN = "Invalid credentials in Authorization header"


def refusal(
    repo_id: str, name: str, error: Exception, *, was_begun: bool = False
) -> ModelNotFoundError:
    """Put a failed look-up or download into words.

    Args:
        repo_id: ``org/name``.
        name: The same as the user wrote it, with a revision.
        error: What huggingface_hub raised.
        was_begun: Whether files were arriving; what came of them is kept.
    """
    root = _root(error)
    sentence = (
        _refused(repo_id, name, root)
        or _unwritable(name, root)
        or (_broken_off(name, root) if was_begun else _unreachable(name, root))
    )
    return ModelNotFoundError(sentence)


def _root(error: Exception) -> BaseException:
    """Unwrap the two errors that only say that the cache could not help either."""
    from huggingface_hub.errors import DryRunError, LocalEntryNotFoundError

    wrapped = isinstance(error, DryRunError | LocalEntryNotFoundError)
    return error.__cause__ or error if wrapped else error


def _refused(repo_id: str, name: str, error: BaseException) -> str | None:
    """Return what the hub itself said."""
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case GatedRepoError():
            return _gated(repo_id)
        case RepositoryNotFoundError():
            return _unknown(repo_id)
        case RevisionNotFoundError():
            return f"{repo_id} has no revision by that name: {name}."
        case RemoteEntryNotFoundError():
            return f"The hub lists a file of {name} that it does not have; try again later."
        case DisabledRepoError():
            return f"{repo_id} was disabled on the hub; look for another version of the model."
        case HfHubHTTPError():
            return _answer(name, error)
        case OfflineModeIsEnabled():
            return (
                f"{name} is not in the local cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE "
                "forbids downloading it; unset it, or try demo, the bundled model."
            )
    return None


def _unknown(repo_id: str) -> str:
    from huggingface_hub import get_token

    if get_token() is None:
        return (
            f"There is no model {repo_id} on the hub, or it is private: "
            f"check the name, or log in with `hf auth login`.{hint_on_repository(repo_id)}"
        )
    return (
        f"There is no model {repo_id} on the hub, or your token may not see it: check the name, or "
        f"log in to another account with `hf auth login`.{hint_on_repository(repo_id)}"
    )


def _gated(repo_id: str) -> str:
    from huggingface_hub import get_token

    page = f"{shown_endpoint()}/{repo_id}"
    if get_token() is None:
        return f"{repo_id} is gated: accept its licence at {page}, then run `hf auth login`."
    return f"{repo_id} is gated, and your token has no access: accept its licence at {page}."


def _answer(name: str, error: BaseException) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    assert isinstance(error, HfHubHTTPError)
    status = error.response.status_code
    said = error.response.headers.get("X-Error-Message", "")
    if status == 401:
        return f"The hub does not know your token{_token_advice()}."
    if status == 403:
        return (
            f"The hub forbids {name} to your token: {shown(said).rstrip('.') or 'no reason given'}; "
            f"see {shown_endpoint()}/settings/tokens."
        )
    if status == _TOO_MANY:
        return f"The hub is asked too much from here ({status}) for {name}; {_later(error)}."
    return f"The hub answered {status} for {name}; {_later(error)}."


def _token_advice() -> str:
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable):
            return f": set {variable} to a valid one, or unset it"
    return ": log in anew with `hf auth login`"


def _later(error: BaseException) -> str:
    pause = asked_pause_s(error)
    if not pause:
        return "try again later"
    return (
        f"try again in {pause:.0f} seconds"
        if pause < 120
        else f"try again in {pause / 60:.0f} minutes"
    )


def _unwritable(name: str, error: BaseException) -> str | None:
    """Return what this computer said."""
    from huggingface_hub import constants

    cache = shown(constants.HF_HUB_CACHE)
    if _is_too_long(error):
        return (
            f"Windows takes no path as long as those of {name} in {cache}; set HF_HOME to a short "
            r"one such as C:\hf, or switch long paths on."
        )
    if getattr(error, "winerror", None) in _HELD_OPEN:
        return (
            f"A program has a file of {name} open in {cache}, which may be a virus scanner; "
            "what arrived is kept, and the same command goes on from there."
        )
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return (
                f"The disk of {cache} filled up while {name} was downloaded; make room and "
                "try again: what arrived is kept. Or set HF_HOME to another disk."
            )
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS | errno.ENOTDIR):
            return (
                f"{cache} cannot be written, so {name} cannot be "
                "downloaded; set HF_HOME to a folder of yours."
            )
    return None


def _is_too_long(error: BaseException) -> bool:
    """Say whether a path is longer than Windows takes, of which it says that there is none."""
    return (
        sys.platform == "win32"
        and isinstance(error, FileNotFoundError)
        and len(str(error.filename)) >= _LONGEST_ON_WINDOWS
    )


def _broken_off(name: str, error: BaseException) -> str:
    if isinstance(error, http_error()):
        return (
            f"The connection broke again and again while {name} was downloaded "
            f"({_first_line(error)}); what arrived is kept, and the same command goes on from there."
        )
    return f"Downloading {name} failed: {_first_line(error)}; try again."


def _unreachable(name: str, error: BaseException) -> str:
    endpoint = shown_endpoint()
    if not endpoint.startswith(("https://", "http://")):
        return f"HF_ENDPOINT is {endpoint}, but has to begin with https://."
    if is_untrusted(error):
        return (
            f"The certificate of {endpoint} is not trusted here, as where a proxy or a virus "
            f"scanner reads along; name its certificate in SSL_CERT_FILE to download {name}."
        )
    match error:
        case ConnectionError() | TimeoutError():
            pass
        case OSError() | RuntimeError():
            return f"Downloading {name} failed: {_first_line(error)}; try again."
    return (
        f"{endpoint} cannot be reached, and {name} is not in the local cache; "
        "check the connection, or try demo, the bundled model."
    )


def _first_line(error: BaseException) -> str:
    return shown(
        redacted(str(error)).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    )
