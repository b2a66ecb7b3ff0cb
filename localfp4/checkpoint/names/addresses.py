"""Which repository of the hub is meant: by its id, or by any address that leads to it; stdlib only.

Knows the addresses of web pages and files, ``hf://``, and names of the cache's folders. Asks nobody
whether there is such a repository.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.aliases import alias_named
from localfp4.checkpoint.names.endpoint import HUB, shown_address
from localfp4.checkpoint.names.formats import foreign_format
from localfp4.errors import ModelNotFoundError

_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}", re.ASCII)
_OTHER_KINDS = {
    "datasets": "a data set",
    "spaces": "a space",
    "collections": "a collection",
    "papers": "a paper",
    "buckets": "a bucket",
    "docs": "documentation",
    "blog": "an article",
}
_AT_A_REVISION = ("tree", "blob", "resolve", "raw", "commit", "commits")
_CACHED = re.compile(r"(models|datasets|spaces)--(.+)")


@dataclass(frozen=True, slots=True)
class Address:
    """A repository; ``revision`` is a branch, tag or commit, ``None`` the main branch."""

    repo_id: str
    revision: str | None = None


def address_of(name: str, endpoint: str = HUB) -> Address | None:
    """Return which repository a name means; ``None`` where it has another form.

    Args:
        name: ``org/name``, ``org/name@revision``, an address, or a name of the cache's folders.
        endpoint: The hub's own address, which may be a mirror.

    Raises:
        ModelNotFoundError: It is the address of something that is no model.
    """
    path = _path_on(endpoint, name)
    if path is not None:
        return _from_path(path, name)
    if match := _CACHED.fullmatch(name):
        return _from_path(f"{match[1]}/{match[2].replace('--', '/')}", name)
    parts = name.rstrip("/").split("/")
    if len(parts) > 2 and (parts[0] in ("models", *_OTHER_KINDS) or parts[2] in _AT_A_REVISION):
        return _from_path(name, name)
    repo_id, at, revision = name.rstrip("/").partition("@")
    return _checked(repo_id, revision if at else None)


def _path_on(endpoint: str, name: str) -> str | None:
    """Return what follows the hub's address; ``None`` where the name does not begin with one.

    Raises:
        ModelNotFoundError: It begins with somebody else's.
    """
    scheme, separator, rest = name.partition("://")
    if separator and scheme.lower() == "hf":
        return rest
    rest = (rest if separator else name).partition("?")[0].partition("#")[0]
    own = urlsplit(endpoint)
    for host in (f"{own.netloc.rpartition('@')[2]}{own.path}".rstrip("/").lower(), *_HOSTS):
        if rest.lower() == host or rest.lower().startswith(f"{host}/"):
            return rest[len(host) + 1 :]
    if not separator:
        return None
    alias = alias_named(rest.rstrip("/").rpartition("/")[2])
    hint = f"did you mean {alias.name}?" if alias else "name one as org/name."
    raise ModelNotFoundError(
        f"{shown(name)} is no address on {shown_address(endpoint)}, where models come from; {hint}"
    )


def _from_path(path: str, name: str) -> Address:
    """Return the repository that a path of the hub leads to.

    Raises:
        ModelNotFoundError: It leads to none, or to a part of one.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "models"]:
        parts = parts[1:]
    if parts[:1] == ["models"]:
        parts = parts[1:]
    elif parts and (kind := _OTHER_KINDS.get(parts[0])):
        raise ModelNotFoundError(f"{shown(name)} is {kind}, not a model; models are org/name.")
    if len(parts) < 2:
        raise ModelNotFoundError(
            f"{shown(name)} leads to no model; their addresses look like {HUB}/org/name."
        )
    repo_id, at, revision = f"{parts[0]}/{parts[1]}".partition("@")
    repo_id, _, tag = repo_id.partition(":")
    _check_tag(repo_id, tag)
    if not at:
        found = _checked(repo_id, _revision_in(parts[2:], repo_id))
    else:
        rest = "/".join([revision, *parts[2:4]]) if revision == "refs" else revision  # refs/pr/3
        found = _checked(repo_id, unquote(rest))
    if found is None:
        raise ModelNotFoundError(
            f"{shown(name)} leads to no model: {shown(repo_id)} is not like org/name."
        )
    return found


def _revision_in(parts: Sequence[str], repo_id: str) -> str | None:
    """Return the revision that a page or a file is of.

    Raises:
        ModelNotFoundError: It is a folder within the repository.
    """
    if len(parts) < 2 or parts[0] not in _AT_A_REVISION:
        return None
    length = 3 if parts[1] == "refs" else 1  # refs/pr/3
    if parts[0] == "tree" and (inside := parts[1 + length :]):
        raise ModelNotFoundError(
            f"{shown('/'.join(inside))} is a folder within {shown(repo_id)}, and localfp4 runs what "
            f"lies outside of folders: {shown(repo_id)}."
        )
    revision = unquote("/".join(parts[1 : 1 + length]))
    return None if revision == "main" else revision


def _check_tag(repo_id: str, tag: str) -> None:
    """Refuse what Ollama's addresses say of GGUF files, unless the name tells that already.

    Raises:
        ModelNotFoundError: There is such a tag.
    """
    if tag not in ("", "latest") and not foreign_format(repo_id):
        raise ModelNotFoundError(
            f":{shown(tag)} asks for one of several GGUF files, which localfp4 does not read; leave "
            f"it out, or name a revision: {shown(repo_id)}@REVISION."
        )


def _checked(repo_id: str, revision: str | None) -> Address | None:
    """Return the two where both can be; what they look like ends up in names of folders."""
    is_id = _REPOSITORY.fullmatch(repo_id) and ".." not in repo_id and "--" not in repo_id
    if not is_id:
        return None
    if revision is None:
        return Address(repo_id)
    is_revision = _REVISION.fullmatch(revision) and ".." not in revision and "//" not in revision
    return Address(repo_id, revision) if is_revision else None
