"""The list of servers of this user: where it is, and being on it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from localfp4.cli.failure import remark
from localfp4.errors import UserError
from localfp4.server.registry.registry import Membership, Registry, RunningServer


def open_registry() -> Registry:
    """Return the list of servers that run."""
    from platformdirs import user_state_path

    return Registry(user_state_path("localfp4", appauthor=False) / "servers")


@contextmanager
def listed(server: RunningServer) -> Iterator[Membership]:
    """List a server for the time of a block; where that cannot be, remark on it and go on."""
    with ExitStack() as stack:
        try:
            membership = stack.enter_context(open_registry().member(server))
        except UserError as error:
            remark(f"`localfp4 ps` and `stop` will not know this server. {error}")
            membership = Membership(None)
        yield membership
