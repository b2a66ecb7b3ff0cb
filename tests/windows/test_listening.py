"""Ports that Windows refuses."""

import errno
import os
import socket
from types import SimpleNamespace

import pytest

from localfp4.errors import UserError
from localfp4.server.http import listening
from localfp4.server.settings import ServerSettings


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("nt", r"Windows keeps it for itself.*`netsh interface ipv4 show excludedportrange"),
        ("posix", "it may only be used by administrators; choose a --port from 1024 on"),
    ],
)
def test_why_a_port_may_not_be_used(
    system: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hyper-V and WSL reserve ranges of ports far above 1024."""

    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.EACCES, "An attempt was made to access a socket in a forbidden way")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(listening, "os", SimpleNamespace(name=system))
    with pytest.raises(UserError, match=words):
        listening.listen(ServerSettings(port=50_000))


def test_on_windows_no_address_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "os", SimpleNamespace(name="nt"))
    with listening.listen(ServerSettings(port=0)) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
    if os.name == "posix":
        monkeypatch.undo()
        with listening.listen(ServerSettings(port=0)) as listener:
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0
