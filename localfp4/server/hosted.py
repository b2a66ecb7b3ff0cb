"""Tools that a client thinks its server runs."""

import logging
from collections.abc import Iterable, Sequence

from localfp4.server.errors import bad_request
from localfp4.server.tools import Function

_log = logging.getLogger(__name__)


def leave_out(kinds: Iterable[str], functions: Sequence[Function], chosen: str | None) -> None:
    """Say that some kinds of tools are left out, which only the API's own servers can run.

    Agents offer them beside their own tools, and get along without.

    Args:
        kinds: Of the tools that are left out.
        functions: The others.
        chosen: The tool that must be called, if it is one of those left out.

    Raises:
        ApiError: There are no others, or one that is left out must be called.
    """
    names = ", ".join(sorted({kind[:40] for kind in kinds}))
    if names and (chosen or not functions):
        raise bad_request(
            f"tools: {names} cannot be run here: this server has the tools that a request describes "
            "with a schema, and its client runs them.",
            "tools",
        )
    if names:
        _log.info("Tools that only other servers run are left out: %s", names)
