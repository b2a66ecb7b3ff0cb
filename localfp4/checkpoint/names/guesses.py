"""What was probably meant by a name that means nothing: what is here comes before what there is.

Asks nobody. huggingface_hub is imported for the place of its cache.
"""

from collections.abc import Iterable

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.addresses import address_of
from localfp4.checkpoint.names.aliases import alias_of, similar_alias, sizes_of
from localfp4.checkpoint.names.folders import similar_folder
from localfp4.checkpoint.names.spelling import nearest
from localfp4.checkpoint.store.cache import repositories


def hint(name: str, known: Iterable[str]) -> str:
    """Return how a sentence about a name ends; empty where there is nothing to say.

    Args:
        name: What was typed.
        known: Names that are neither folders nor repositories.
    """
    slashed = name.replace("\\", "/")
    if "\\" in name and address_of(slashed) is not None:
        return f"Did you mean {shown(slashed)}?"
    kept = (store.repo_id for store in repositories())
    similar = nearest(name, (*known, *kept)) or similar_folder(name) or similar_alias(name)
    if similar is not None:
        return f"Did you mean {shown(similar)}?"
    if sizes := sizes_of(name):
        return f"Of {shown(name.partition(':')[0])} there are {', '.join(sizes)}."
    return ""


def hint_on_repository(repo_id: str) -> str:
    """Return how a sentence about a repository that does not exist ends, a space before it."""
    kept = [store.repo_id for store in repositories() if store.repo_id != repo_id]
    # An alias of this very repository was what named it.
    similar = nearest(repo_id, kept) or (None if alias_of(repo_id) else similar_alias(repo_id))
    return f" Did you mean {shown(similar)}?" if similar else ""
