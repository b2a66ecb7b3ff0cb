"""The socket that a server listens at."""

import errno
import os
import socket

from localfp4.errors import UserError
from localfp4.server.settings import ServerSettings, url_for

_REASONS = {
    errno.EADDRINUSE: "something else listens there; end it, or choose another --port",
    errno.EACCES: "it may only be used by administrators; choose a --port from 1024 on",
    errno.EADDRNOTAVAIL: "this computer has no such address; choose another --host",
}
_ON_WINDOWS = {
    errno.EACCES: "Windows keeps it for itself, as Hyper-V and WSL have it do with many, or another "
    "program for itself alone; choose another --port (`netsh interface ipv4 show "
    "excludedportrange protocol=tcp` lists what Windows keeps)",
}
"""Windows has no ports that only administrators may use."""


def listen(settings: ServerSettings) -> socket.socket:
    """Return a socket that is bound to where the server shall listen.

    Raises:
        UserError: That cannot be; the message says why.
    """
    where = f"{settings.host} port {settings.port}"
    if not 0 <= settings.port < 2**16:  # getaddrinfo takes what is left of it in 16 bits
        raise UserError(f"Cannot listen at {where}: ports are numbers from 0 to 65535.")
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise UserError(f"Cannot listen at {where}: {error}.") from error
    # Of a name's addresses, such as localhost's, clients expect the one of IPv4.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # Windows lets a server listen again after a restart without it, and with it would let two
            # listen at one port (tried out in github.com/python-trio/trio/issues/928).
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        reasons = _REASONS if os.name == "posix" else _REASONS | _ON_WINDOWS
        reason = reasons.get(error.errno or 0, str(error))
        raise UserError(f"Cannot listen at {where}: {reason}.") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return how clients on this computer reach a server."""
    host, port = listener.getsockname()[:2]
    return url_for(host, port)
